/** The protocol suites over sockets, as the command reads long bodies: past Node's parser. */
import { runSuites } from './run-suites.ts'
import { sockets } from './sockets.ts'

runSuites(sockets('over sockets, read directly', { directFrom: 1 }))
