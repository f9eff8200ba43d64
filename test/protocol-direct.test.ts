/** The protocol suites over sockets, as the command reads long bodies: past Node's parser. */
import { runSuites } from './run-suites.ts'
import { sockets } from './sockets.ts'
import { stores } from './stores.ts'

// The one that keeps chunks until they are written; what comes before it is the same for all.
const files = stores.filter(({ name }) => name === 'fs')

runSuites(sockets('over sockets, read directly', { directFrom: 1 }), files)
