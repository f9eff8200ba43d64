/** Settings that are fine alone, but not together. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from './cli-support.ts'
import { azure, hooks, jwks, jwt, jwtSecret, problemsOf, read, s3, secret } from './node-config-support.ts'

test('settings that contradict each other are refused', () => {
  const contradictions: [Record<string, string>, RegExp][] = [
    [
      { FILELOFT_UNIX_SOCKET: '/s', FILELOFT_TLS_CERT: 'c', FILELOFT_TLS_KEY: 'k' },
      /UNIX_SOCKET and FILELOFT_TLS_CERT/,
    ],
    [{ FILELOFT_UNIX_SOCKET: '/s', FILELOFT_BIND: '127.0.0.1:1' }, /UNIX_SOCKET and FILELOFT_BIND/],
    [{ FILELOFT_UNIX_SOCKET_MODE: '0600' }, /UNIX_SOCKET_MODE needs FILELOFT_UNIX_SOCKET/],
    [{ FILELOFT_TLS_CERT: 'c' }, /TLS_CERT needs FILELOFT_TLS_KEY/],
    [{ FILELOFT_TLS_KEY: 'k' }, /TLS_KEY needs FILELOFT_TLS_CERT/],
    [{ FILELOFT_TLS_MODE: 'tls13' }, /TLS_MODE needs FILELOFT_TLS_CERT/],
    [{ FILELOFT_ENABLE_H2C: '1', FILELOFT_TLS_CERT: 'c', FILELOFT_TLS_KEY: 'k' }, /ENABLE_H2C and FILELOFT_TLS_CERT/],
    [{ FILELOFT_CORS_ALLOW_CREDENTIALS: '1' }, /CREDENTIALS needs FILELOFT_CORS_ALLOW_ORIGIN to name origins/],
    [
      { FILELOFT_DISABLE_CORS: '1', FILELOFT_CORS_ALLOW_ORIGIN: 'https://a.b' },
      /DISABLE_CORS and FILELOFT_CORS_ALLOW_O/,
    ],
    [{ FILELOFT_DISABLE_CORS: '1', FILELOFT_CORS_MAX_AGE: '1' }, /DISABLE_CORS and FILELOFT_CORS_MAX_AGE/],
    [{ FILELOFT_ENABLE_EXPIRATION: '1' }, /ENABLE_EXPIRATION needs FILELOFT_EXPIRATION_TTL/],
    [{ FILELOFT_EXPIRATION_TTL: '60' }, /EXPIRATION_TTL needs FILELOFT_ENABLE_EXPIRATION/],
    [{ FILELOFT_MIN_RATE_WINDOW: '60' }, /MIN_RATE_WINDOW needs FILELOFT_MIN_RATE/],
    [{ FILELOFT_MAX_BYTES_PERIOD: '60' }, /MAX_BYTES_PERIOD needs FILELOFT_MAX_BYTES_PER_CLIENT/],
    [{ FILELOFT_METRICS: '1', FILELOFT_METRICS_BIND: '127.0.0.1:1' }, /METRICS and FILELOFT_METRICS_BIND/],
    [{ FILELOFT_SWEEP_INTERVAL: '60' }, /SWEEP_INTERVAL needs FILELOFT_ENABLE_EXPIRATION/],
    [{ FILELOFT_ENABLE_CLEANUP_CONCAT_PARTIALS: '1' }, /PARTIALS needs FILELOFT_ENABLE_CONCATENATION/],
    [{ FILELOFT_DISABLE_CREATION: '1', FILELOFT_ENABLE_CONCATENATION: '1' }, /DISABLE_CREATION and FILELOFT_ENABLE_C/],
    [{ ...jwt, ...jwks }, /JWKS_URL and FILELOFT_AUTH_JWT_SECRET cannot both be set/],
    [{ ...jwt, FILELOFT_AUTH_JWT_PUBLIC_KEY: 'k' }, /JWT_SECRET and FILELOFT_AUTH_JWT_PUBLIC_KEY cannot both be set/],
    [{ FILELOFT_AUTH_ISSUER: 'i' }, /AUTH_ISSUER needs one of FILELOFT_AUTH_JWKS_URL, FILELOFT_AUTH_JWT_SECRET, FILE/],
    [{ FILELOFT_AUTH_TOKENS: '0123456789abcdef', FILELOFT_AUTH_OWNER_CLAIM: 'sub' }, /OWNER_CLAIM needs one of/],
    [{ FILELOFT_AUTH_SCOPES: '1' }, /AUTH_SCOPES needs one of/],
    [{ ...jwt, FILELOFT_AUTH_SCOPE_CLAIM: 'scp' }, /SCOPE_CLAIM needs FILELOFT_AUTH_SCOPES/],
    [{ ...jwt, FILELOFT_AUTH_JWKS_MAX_AGE: '60' }, /JWKS_MAX_AGE needs FILELOFT_AUTH_JWKS_URL/],
    [{ FILELOFT_AUTH_JWT_SECRET: 'hunter2' }, /^FILELOFT_AUTH_JWT_SECRET must have at least 32 bytes$/],
    [{ ...jwt, FILELOFT_AUTH_ALGORITHMS: 'HS256,HS512' }, /^FILELOFT_AUTH_JWT_SECRET must have at least 64 bytes$/],
    [{ ...jwt, FILELOFT_AUTH_ALGORITHMS: 'RS256' }, /names RS256, which no secret can check/],
    [{ ...jwks, FILELOFT_AUTH_ALGORITHMS: 'RS256,HS256' }, /names HS256, for which a public key would be no secret/],
    [
      { FILELOFT_AUTH_JWT_PUBLIC_KEY: 'k', FILELOFT_AUTH_ALGORITHMS: 'HS256' },
      /names HS256, for which a public key would be no secret/,
    ],
    [{ ...jwt, FILELOFT_AUTH_URL_SECRET: `${'x'.repeat(32)},${jwtSecret}` }, /must not be the same/],
    [{ ...hooks, FILELOFT_HOOKS_DIR: '/h' }, /HOOKS_URL and FILELOFT_HOOKS_DIR cannot both be set/],
    [{ FILELOFT_HOOKS_EVENTS: 'pre-create' }, /HOOKS_EVENTS needs FILELOFT_HOOKS_URL or FILELOFT_HOOKS_DIR/],
    [{ FILELOFT_HOOKS_DIR: '/h', FILELOFT_HOOKS_SECRET: secret }, /HOOKS_SECRET needs FILELOFT_HOOKS_URL$/],
    [{ FILELOFT_DEMO: '1', FILELOFT_BASE_PATH: '/' }, /DEMO is a page at \/: it needs another FILELOFT_BASE_PATH/],
    [{ FILELOFT_DEMO: '1', FILELOFT_DISABLE_CREATION: '1' }, /FILELOFT_DEMO and FILELOFT_DISABLE_CREATION cannot both/],
    [{ FILELOFT_DEMO: '1', FILELOFT_AUTH_TOKENS: '0123456789abcdef' }, /DEMO and FILELOFT_AUTH_TOKENS cannot both/],
    [{ FILELOFT_DEMO: '1', ...jwks }, /DEMO and FILELOFT_AUTH_JWKS_URL cannot both/],
    [{ FILELOFT_HOOKS_DIR: '/h', FILELOFT_HOOKS_FORWARD_HEADERS: 'a' }, /FORWARD_HEADERS needs FILELOFT_HOOKS_URL$/],
  ]
  for (const [environment, expected] of contradictions) {
    const problems = problemsOf(environment)
    assert.equal(problems.length, 1, JSON.stringify([environment, problems]))
    assert.match(problems[0] ?? '', expected)
  }
  assert.deepEqual(problemsOf({ FILELOFT_DISABLE_CORS: '1', FILELOFT_CORS_ALLOW_ORIGIN: '*' }), [])
})

test('the backend is the one whose place is named; two, none, or settings of another are mistakes', () => {
  assert.equal(read({}).backend, 'fs')
  assert.equal(read({ FILELOFT_S3_BUCKET: 'b' }).backend, 's3')
  assert.equal(read({ FILELOFT_GCS_BUCKET: 'b' }).backend, 'gcs')
  assert.equal(read(azure).backend, 'azure')
  assert.deepEqual(problemsOf({ FILELOFT_S3_BUCKET: 'b', FILELOFT_GCS_BUCKET: 'b' }), [
    'FILELOFT_S3_BUCKET and FILELOFT_GCS_BUCKET are both set; FILELOFT_BACKEND must say which one counts: s3, gcs',
  ])
  assert.deepEqual(problemsOf({ FILELOFT_BACKEND: 's3' }), ['FILELOFT_BACKEND is "s3" and needs FILELOFT_S3_BUCKET'])
  assert.deepEqual(problemsOf({ FILELOFT_S3_REGION: 'x' }), [
    'FILELOFT_S3_REGION has no effect: the uploads are kept on fs',
  ])
  assert.deepEqual(problemsOf({ ...s3, FILELOFT_DATA_DIR: '/d' }), [
    'FILELOFT_DATA_DIR has no effect: the uploads are kept on s3',
  ])
  // As the images set it.
  assert.equal(read({ ...s3, FILELOFT_DATA_DIR: '/var/lib/fileloft' }).backend, 's3')
  assert.deepEqual(problemsOf({ FILELOFT_PART_SIZE: '9MiB' }), [
    'FILELOFT_PART_SIZE has no effect: the uploads are kept on fs',
  ])
  assert.deepEqual(problemsOf({ FILELOFT_AZURE_CONTAINER: 'c' }), [
    'FILELOFT_AZURE_CONTAINER needs one of FILELOFT_AZURE_CONNECTION_STRING, FILELOFT_AZURE_ACCOUNT, FILELOFT_AZURE_ENDPOINT',
  ])
  assert.deepEqual(problemsOf({ ...s3, FILELOFT_PART_SIZE: '64MiB', FILELOFT_BUFFER_BUDGET: '32MiB' }), [
    'FILELOFT_BUFFER_BUDGET must be at least FILELOFT_PART_SIZE',
  ])
  const loopback = { FILELOFT_BIND: '127.0.0.1:1' }
  const both = read({ ...loopback, FILELOFT_BACKEND: 'gcs', FILELOFT_GCS_BUCKET: 'b', FILELOFT_S3_BUCKET: 'b' })
  assert.deepEqual(
    [both.backend, both.warnings],
    ['gcs', ['FILELOFT_S3_BUCKET has no effect: the uploads are kept on gcs']],
  )
})

test('where a hook decides on creations the warning says what that leaves open; where none does it is the plain one', () => {
  const warnings = (environment: Record<string, string>) =>
    read({ FILELOFT_BIND: '0.0.0.0:80', ...environment }).warnings.join()
  const some =
    /^The hook pre-create decides who may create uploads; whoever can reach 0\.0\.0\.0 and knows the id of one/
  const plain = /^Whoever can reach 0\.0\.0\.0 may use this server/
  assert.match(warnings(hooks), some)
  assert.match(warnings({ ...hooks, FILELOFT_HOOKS_EVENTS: 'post-finish' }), plain)
  assert.equal(warnings({ ...hooks, ...jwt }), '')
  using folder = temporaryDirectory()
  assert.match(warnings({ FILELOFT_HOOKS_DIR: folder.path }), plain)
  writeFileSync(join(folder.path, 'pre-create'), '#!/bin/sh\n')
  assert.match(warnings({ FILELOFT_HOOKS_DIR: folder.path }), some)
})

test('a server for everybody on an address for everybody is warned about; on loopback or a socket it is not', () => {
  const warnings = (environment: Record<string, string>) => read(environment).warnings.join()
  for (const bind of ['0.0.0.0:8080', '[::]:8080', '10.1.2.3:80', 'uploads.example:80']) {
    assert.match(warnings({ FILELOFT_BIND: bind }), /no FILELOFT_AUTH_ setting says who is let in/, bind)
  }
  for (const bind of ['127.0.0.1:8080', '127.8.9.1:80', '[::1]:8080', 'localhost:80']) {
    assert.equal(warnings({ FILELOFT_BIND: bind }), '', bind)
  }
  assert.equal(warnings({ FILELOFT_UNIX_SOCKET: '/run/fileloft.sock' }), '')
  assert.equal(warnings({ FILELOFT_AUTH_TOKENS: '0123456789abcdef' }), '')
  assert.equal(warnings(jwt), '')
  assert.equal(warnings({ FILELOFT_AUTH_URL_SECRET: jwtSecret }), '')
  assert.equal(warnings({ ...jwks, FILELOFT_AUTH_AUDIENCE: 'uploads' }), '')
  assert.match(warnings(jwks), /AUDIENCE is not set: tokens that were issued for other services/)
  const pem = { FILELOFT_AUTH_JWT_PUBLIC_KEY: 'key.pem' }
  assert.match(warnings(pem), /AUDIENCE is not set: tokens that were issued for other services/)
  assert.equal(warnings({ ...pem, FILELOFT_AUTH_AUDIENCE: 'uploads' }), '')
  const plain = { FILELOFT_AUTH_JWKS_URL: 'http://id.example/keys', FILELOFT_AUTH_AUDIENCE: 'uploads' }
  assert.match(warnings(plain), /JWKS_URL is not https/)
  assert.equal(warnings({ ...plain, FILELOFT_AUTH_JWKS_URL: 'http://[::1]:9/keys' }), '')
})
