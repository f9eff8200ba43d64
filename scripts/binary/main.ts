/** The executable's program: as src/node/cli.ts, which must not import anything before it has set V8's flags. */
import { setFlagsFromString } from 'node:v8'

// What packages do Node leaves unsaid, as long as they are in node_modules; here all is one file.
process.noDeprecation = true
setFlagsFromString('--semi-space-growth-factor=1')
void (process.argv[2] === 'upload' ? import('../../src/node/client/command.ts') : import('../../src/node/command.ts'))
