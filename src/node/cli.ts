#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8'

// While the modules load, V8 would let the space for new objects grow to 8 MiB a half and more: see heap.ts. It must not
// have grown yet, hence no imports.
setFlagsFromString('--semi-space-growth-factor=1')

// The client starts in half the time without the server, which never loads the client's packages.
const { done } = process.argv[2] === 'upload' ? await import('./client/command.ts') : await import('./command.ts')
await done
