/**
 * The protocol suites on a store from outside of the package: the one of docs/writing-a-store.md, or any other:
 * `npm run test:store path/to/module.ts`. The module exports a `name` and `make`, as examples/store/row.ts does.
 */
import './from-source.ts'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inProcess } from '../in-process.ts'
import { runSuites } from '../run-suites.ts'
import type { StoreRow } from '../suite-context.ts'

// A thousand databases that need not survive anything: nobody has to wait for a disk.
if (existsSync('/dev/shm')) process.env['TMPDIR'] = '/dev/shm'

const path = resolve(process.argv[2] ?? new URL('../../examples/store/row.ts', import.meta.url).pathname)
runSuites(inProcess, [(await import(pathToFileURL(path).href)) as StoreRow])
