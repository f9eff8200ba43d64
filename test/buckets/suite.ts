/**
 * What every driver has to do, as cases over a `Bucket` on a real server. No runner and no runtime in here: a driver's
 * test makes the context and runs each case under its title.
 */
import { abortCases } from './suite-aborts.ts'
import { conditionCases } from './suite-conditions.ts'
import { keyCases } from './suite-keys.ts'
import { multipartCases } from './suite-multipart.ts'
import { objectCases } from './suite-objects.ts'
import { streamedCases } from './suite-streamed.ts'
import type { BucketCase } from './suite-support.ts'

export const bucketCases: readonly BucketCase[] = [
  ...objectCases,
  ...conditionCases,
  ...keyCases,
  ...abortCases,
  ...multipartCases,
  ...streamedCases,
]
