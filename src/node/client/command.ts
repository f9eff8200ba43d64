/** `fileloft upload` as a program. */
import { ConfigError } from '../config.ts'
import { upload } from './upload.ts'

/** Resolves when it has nothing more to do; `process.exitCode` says how it went. Never rejects. */
export const done: Promise<void> = run()

async function run(): Promise<void> {
  try {
    process.exitCode = await upload(process.argv.slice(3))
  } catch (error) {
    const problems =
      error instanceof ConfigError ? error.problems : [error instanceof Error ? error.message : String(error)]
    for (const problem of problems) process.stderr.write(`fileloft: ${problem}\n`)
    process.exitCode = error instanceof ConfigError ? 2 : 1
  }
}
