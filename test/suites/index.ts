/** All suites, in the order in which they run. */
import { suite as callbacks } from './callbacks.ts'
import { suite as checksum } from './checksum.ts'
import { suite as concatRefusals } from './concat-refusals.ts'
import { suite as concatenation } from './concatenation.ts'
import { suite as concatenationUnfinished } from './concatenation-unfinished.ts'
import { suite as core } from './core.ts'
import { suite as cors } from './cors.ts'
import { suite as creation } from './creation.ts'
import { suite as creationWithUpload } from './creation-with-upload.ts'
import { suite as deferLength } from './defer-length.ts'
import { suite as downloads } from './downloads.ts'
import { suite as errors } from './errors.ts'
import { suite as expiration } from './expiration.ts'
import { suite as head } from './head.ts'
import { suite as hookAccess } from './hook-access.ts'
import { suite as hookCreation } from './hook-creation.ts'
import { suite as hookEvents } from './hook-events.ts'
import { suite as hookProgress } from './hook-progress.ts'
import { suite as hookRefusals } from './hook-refusals.ts'
import { suite as hookReplies } from './hook-replies.ts'
import { suite as ids } from './ids.ts'
import { suite as interruption } from './interruption.ts'
import { suite as invariants } from './invariants.ts'
import { suite as location } from './location.ts'
import { suite as locking } from './locking.ts'
import { suite as metadata } from './metadata.ts'
import { suite as methodOverride } from './method-override.ts'
import { suite as options } from './options.ts'
import { suite as pace } from './pace.ts'
import { suite as patch } from './patch.ts'
import { suite as ranges } from './ranges.ts'
import type { Suite } from './support.ts'
import { suite as termination } from './termination.ts'

export const suites: readonly Suite[] = [
  core,
  options,
  methodOverride,
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
  expiration,
  downloads,
  ranges,
  cors,
  location,
  ids,
  callbacks,
  hookAccess,
  hookCreation,
  hookReplies,
  hookProgress,
  hookEvents,
  hookRefusals,
  interruption,
  pace,
  locking,
  errors,
  invariants,
]
