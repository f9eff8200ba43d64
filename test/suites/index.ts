/** All suites, in the order in which they run. */
import { suite as checksum } from './checksum.ts'
import { suite as concatRefusals } from './concat-refusals.ts'
import { suite as concatenation } from './concatenation.ts'
import { suite as concatenationUnfinished } from './concatenation-unfinished.ts'
import { suite as core } from './core.ts'
import { suite as creation } from './creation.ts'
import { suite as creationWithUpload } from './creation-with-upload.ts'
import { suite as deferLength } from './defer-length.ts'
import { suite as head } from './head.ts'
import { suite as metadata } from './metadata.ts'
import { suite as options } from './options.ts'
import { suite as patch } from './patch.ts'
import type { Suite } from './support.ts'
import { suite as termination } from './termination.ts'

export const suites: readonly Suite[] = [
  core,
  options,
  head,
  patch,
  creation,
  creationWithUpload,
  deferLength,
  metadata,
  checksum,
  termination,
  concatenation,
  concatRefusals,
  concatenationUnfinished,
]
