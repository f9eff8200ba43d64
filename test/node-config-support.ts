/** What the tests of the configuration read it with, and settings that others need beside them. */
import assert from 'node:assert/strict'
import { ConfigError, readCommandLine } from '../src/node/config.ts'

export const read = (environment: Record<string, string>, args: string[] = []) =>
  readCommandLine(args, environment).config

export function problemsOf(environment: Record<string, string>, args: string[] = []): readonly string[] {
  try {
    read(environment, args)
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.problems
  }
  return []
}

export const s3 = { FILELOFT_S3_BUCKET: 'b' }
export const azure = { FILELOFT_AZURE_CONTAINER: 'c', FILELOFT_AZURE_ACCOUNT: 'a' }
export const jwtSecret = 'a-secret-for-tokens-of-32-bytes!'
export const jwt = { FILELOFT_AUTH_JWT_SECRET: jwtSecret }
export const jwks = { FILELOFT_AUTH_JWKS_URL: 'https://id.example/keys' }
export const hooks = { FILELOFT_HOOKS_URL: 'http://localhost:3000' }
export const secret = `whsec_${'A'.repeat(32)}`
