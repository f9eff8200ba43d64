#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8'

// While the modules load, V8 would let the space for new objects grow to 8 MiB a half and more: see heap.ts. It must not
// have grown yet, hence no imports.
setFlagsFromString('--semi-space-growth-factor=1')

const { done } = await import('./command.ts')
await done
