import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Config, ConfigError, environmentForPrograms, readCommandLine } from '../src/node/config.ts'
import { levelOf, parseFilter } from '../src/node/filter.ts'
import { handlerOptions } from '../src/node/handler-options.ts'
import { flagOf, variables } from '../src/node/variables.ts'
import { temporaryDirectory } from './cli-support.ts'

const read = (environment: Record<string, string>, args: string[] = []) => readCommandLine(args, environment).config

function problemsOf(environment: Record<string, string>, args: string[] = []): readonly string[] {
  try {
    read(environment, args)
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.problems
  }
  return []
}

const s3 = { FILELOFT_S3_BUCKET: 'b' }
const azure = { FILELOFT_AZURE_CONTAINER: 'c', FILELOFT_AZURE_ACCOUNT: 'a' }

const jwtSecret = 'a-secret-for-tokens-of-32-bytes!'
const jwt = { FILELOFT_AUTH_JWT_SECRET: jwtSecret }
const jwks = { FILELOFT_AUTH_JWKS_URL: 'https://id.example/keys' }
const hooks = { FILELOFT_HOOKS_URL: 'http://localhost:3000' }
const secret = `whsec_${'A'.repeat(32)}`

/** A value that is taken, what it becomes, what it needs beside it, and values that are refused. */
const cases: {
  [K in keyof typeof variables]: {
    takes: [string, Config[K]][]
    refuses: string[]
    with?: Record<string, string>
  }
} = {
  bind: {
    takes: [
      ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
      ['[::]:8080', { host: '::', port: 8080 }],
      ['localhost:81', { host: 'localhost', port: 81 }],
    ],
    refuses: ['8080', ':8080', '::1:80', 'a:65536', 'a:b', 'http://a:80', '[::1]'],
  },
  unixSocket: { takes: [['/run/fileloft.sock', '/run/fileloft.sock']], refuses: [] },
  unixSocketMode: {
    takes: [
      ['0660', 0o660],
      ['600', 0o600],
    ],
    refuses: ['660x', '0888', 'rw', '07777'],
    with: { FILELOFT_UNIX_SOCKET: '/s' },
  },
  workers: {
    takes: [
      ['auto', 'auto'],
      ['1', 1],
      ['64', 64],
    ],
    refuses: ['0', '65', '-1', '1.5', 'many', '2x', '1e1'],
  },
  sync: {
    takes: [
      ['complete', 'complete'],
      ['Always', 'always'],
      ['never', 'never'],
    ],
    refuses: ['true', 'none', 'fsync'],
  },
  dataDir: { takes: [['/srv/uploads', '/srv/uploads']], refuses: [] },
  backend: {
    takes: [
      ['fs', 'fs'],
      ['S3', 's3'],
    ],
    refuses: ['disk', 's4'],
    with: { FILELOFT_S3_BUCKET: 'b' },
  },
  s3Bucket: { takes: [['b', 'b']], refuses: [] },
  s3Prefix: { takes: [['up/', 'up/']], refuses: ['a\u0007'], with: s3 },
  s3Endpoint: {
    takes: [
      ['http://localhost:9000', 'http://localhost:9000'],
      ['https://s3.example.com/', 'https://s3.example.com'],
    ],
    refuses: ['http://', 'http://u@h', 'http://h/?a'],
    with: s3,
  },
  s3Region: { takes: [['eu-central-1', 'eu-central-1']], refuses: [], with: s3 },
  s3ForcePathStyle: { ...toggleCases(), with: s3 },
  s3AllowUnfenced: { ...toggleCases(), with: s3 },
  gcsBucket: { takes: [['b', 'b']], refuses: [] },
  gcsPrefix: { takes: [['up/', 'up/']], refuses: ['a\u0007'], with: { FILELOFT_GCS_BUCKET: 'b' } },
  gcsEndpoint: {
    takes: [['localhost:4443', 'http://localhost:4443']],
    refuses: ['http://h/#a'],
    with: { FILELOFT_GCS_BUCKET: 'b' },
  },
  azureContainer: { takes: [['c', 'c']], refuses: [], with: { FILELOFT_AZURE_ACCOUNT: 'a' } },
  azurePrefix: { takes: [['up/', 'up/']], refuses: ['a\u0007'], with: azure },
  azureConnectionString: {
    takes: [['AccountName=a;AccountKey=k', 'AccountName=a;AccountKey=k']],
    refuses: [],
    with: { FILELOFT_AZURE_CONTAINER: 'c' },
  },
  azureAccount: { takes: [['a', 'a']], refuses: [], with: { FILELOFT_AZURE_CONTAINER: 'c' } },
  azureEndpoint: {
    takes: [['https://a.blob.core.windows.net', 'https://a.blob.core.windows.net']],
    refuses: ['https://h?sig=x'],
    with: azure,
  },
  partSize: {
    takes: [
      ['5MiB', 5 << 20],
      ['16777216', 16 << 20],
    ],
    refuses: ['4MiB', '6GiB', 'x'],
    with: s3,
  },
  partConcurrency: { takes: [['8', 8]], refuses: ['0', '65', '1.5'], with: s3 },
  bufferBudget: { takes: [['1GiB', 2 ** 30]], refuses: ['1MiB', '2TiB'], with: s3 },
  infoPrefix: { takes: [['.info/', '.info/']], refuses: ['\u0000'], with: s3 },
  maxSize: {
    takes: [
      ['0', 0],
      ['1048576', 1_048_576],
      ['10GiB', 10 * 1024 ** 3],
      ['500MB', 500_000_000],
      ['64KiB', 65_536],
      ['1.5 gb', 1_500_000_000],
    ],
    refuses: ['-1', '1e3', '10GiBs', 'GiB', '9007199254740992', '0.5', '9000TiB'],
  },
  basePath: {
    takes: [
      ['/files/', '/files'],
      ['uploads', '/uploads'],
      ['/a/b', '/a/b'],
      ['/', '/'],
    ],
    refuses: ['/a b', '/a?b', '/a//b', '/../a', '/a#'],
  },
  baseUrl: {
    takes: [['https://up.example.com/files', 'https://up.example.com/files']],
    refuses: ['up.example.com', 'ftp://a', 'https://a/?b', 'https://a/#b', 'https://u:p@a/'],
  },
  behindProxy: toggleCases(),
  lockTimeout: { takes: [['0.5', 0.5]], refuses: ['-1', 'x', '1s', '3000000', '1e3'] },
  idleTimeout: { takes: [['0', 0]], refuses: ['-1', '∞'] },
  minRate: { takes: [['4KiB', 4096]], refuses: ['slow', '-1'] },
  minRateWindow: { takes: [['2.5', 2.5]], refuses: ['0', 'x'], with: { FILELOFT_MIN_RATE: '1' } },
  maxActiveUploads: { takes: [['100', 100]], refuses: ['-1', '1.5', 'many'] },
  maxActiveUploadsPerClient: { takes: [['4', 4]], refuses: ['-1', 'x'] },
  maxBytesPerClient: { takes: [['10GiB', 10 * 1024 ** 3]], refuses: ['-1', 'x'] },
  maxBytesPeriod: { takes: [['86400', 86_400]], refuses: ['0', '1d'], with: { FILELOFT_MAX_BYTES_PER_CLIENT: '1' } },
  metrics: toggleCases(),
  metricsBind: { takes: [['127.0.0.1:9090', { host: '127.0.0.1', port: 9090 }]], refuses: ['9090', 'true'] },
  shutdownTimeout: { takes: [['30', 30]], refuses: ['-1', '10s'] },
  disableCors: toggleCases(),
  corsAllowOrigin: {
    takes: [
      ['*', ['*']],
      ['https://a.example, http://localhost:3000', ['https://a.example', 'http://localhost:3000']],
      [
        '/^https:\\/\\/[a-z]{1,3}\\.example$/,https://b.example',
        [/^https:\/\/[a-z]{1,3}\.example$/, 'https://b.example'],
      ],
      ['tauri://localhost', ['tauri://localhost']],
    ],
    refuses: ['a.example', 'https://a.example/', 'https://a.example/path', '/[/', 'https://a.example,,', 'HTTPS://A'],
  },
  corsAllowCredentials: { ...toggleCases(), with: { FILELOFT_CORS_ALLOW_ORIGIN: 'https://a.example' } },
  corsAllowHeaders: { takes: [['X-A, x-b', ['X-A', 'x-b']]], refuses: ['x a', 'a,,b', 'a:b'] },
  corsExposeHeaders: { takes: [['X-A', ['X-A']]], refuses: ['é'] },
  corsMaxAge: { takes: [['600', 600]], refuses: ['-1', '1.5', 'day'] },
  disableTermination: toggleCases(),
  disableCreation: toggleCases(),
  disableCreationWithUpload: toggleCases(),
  disableDeferLength: toggleCases(),
  disableChecksum: toggleCases(),
  enableDownload: toggleCases(),
  enableConcatenation: toggleCases(),
  enableCleanupConcatPartials: { ...toggleCases(), with: { FILELOFT_ENABLE_CONCATENATION: 'true' } },
  enableExpiration: { ...toggleCases(['true', '1']), with: { FILELOFT_EXPIRATION_TTL: '60' } },
  expirationTtl: { takes: [['86400', 86_400]], refuses: ['0', '-5', '1d'], with: { FILELOFT_ENABLE_EXPIRATION: '1' } },
  sweepInterval: { takes: [['60', 60]], refuses: ['0', '0.5', 'x'], with: { FILELOFT_ENABLE_CONCATENATION: '1' } },
  tlsCert: { takes: [['/c.pem', '/c.pem']], refuses: [], with: { FILELOFT_TLS_KEY: '/k.pem' } },
  tlsKey: { takes: [['/k.pem', '/k.pem']], refuses: [], with: { FILELOFT_TLS_CERT: '/c.pem' } },
  tlsMode: {
    takes: [
      ['tls13', 'tls13'],
      ['TLS12-STRONG', 'tls12-strong'],
    ],
    refuses: ['tls11', 'ssl'],
    with: { FILELOFT_TLS_CERT: '/c.pem', FILELOFT_TLS_KEY: '/k.pem' },
  },
  enableH2c: toggleCases(),
  authTokens: {
    takes: [['0123456789abcdef, b-._~+/b-._~+/bc=', ['0123456789abcdef', 'b-._~+/b-._~+/bc=']]],
    refuses: [],
  },
  authJwksUrl: {
    takes: [['https://id.example/keys?v=1', 'https://id.example/keys?v=1']],
    refuses: ['id.example/keys', 'ftp://id.example/', 'https://u:p@id.example/', 'https://id.example/#k'],
  },
  authJwtSecret: { takes: [[jwtSecret, jwtSecret]], refuses: [] },
  authJwtPublicKey: { takes: [['/etc/key.pem', '/etc/key.pem']], refuses: [] },
  authIssuer: { takes: [['https://id.example/', 'https://id.example/']], refuses: [], with: jwt },
  authAudience: { takes: [['uploads', 'uploads']], refuses: [], with: jwt },
  authAlgorithms: {
    takes: [['HS256,HS256', ['HS256', 'HS256']]],
    refuses: ['none', 'HS256,none', 'hs256', 'RS1', ','],
    with: jwt,
  },
  authLeeway: { takes: [['0', 0]], refuses: ['-1', '301', 'x'], with: jwt },
  authJwksMaxAge: { takes: [['60', 60]], refuses: ['0', '100000'], with: jwks },
  authJwksCooldown: { takes: [['0', 0]], refuses: ['-1', '4000'], with: jwks },
  authScopes: { ...toggleCases(), with: jwt },
  authScopeClaim: { takes: [['scp', 'scp']], refuses: [], with: { ...jwt, FILELOFT_AUTH_SCOPES: 'true' } },
  authOwnerClaim: { takes: [['sub', 'sub']], refuses: [], with: jwt },
  authUrlSecret: { takes: [[`${jwtSecret},${'x'.repeat(32)}`, [jwtSecret, 'x'.repeat(32)]]], refuses: [] },
  log: {
    takes: [
      ['debug', [{ target: '', level: 'debug' }]],
      [
        'fileloft_server=trace,warn',
        [
          { target: 'fileloft', level: 'trace' },
          { target: '', level: 'warn' },
        ],
      ],
      ['OFF', [{ target: '', level: 'silent' }]],
    ],
    refuses: ['loud', 'debgu', 'fileloft=loud', 'a=b=c', '=warn'],
  },
  hooksUrl: {
    takes: [
      ['http://localhost:3000/hooks?token=a', 'http://localhost:3000/hooks?token=a'],
      ['https://app.example', 'https://app.example/'],
    ],
    refuses: ['localhost:3000', '/hooks', 'ftp://a/', 'http://user:pass@a/', 'http://a/#b', 'http:a'],
  },
  hooksDir: { takes: [['/etc/fileloft/hooks', '/etc/fileloft/hooks']], refuses: [] },
  hooksEvents: {
    takes: [
      ['pre-create', new Set(['pre-create'])],
      ['post-finish, pre-terminate,', new Set(['post-finish', 'pre-terminate'])],
    ],
    refuses: ['pre-creat', 'pre-create;post-create', 'PRE-CREATE', 'finish'],
    with: hooks,
  },
  hooksForwardHeaders: {
    takes: [['Authorization, X-Team', ['Authorization', 'X-Team']]],
    refuses: ['a b', 'Authorization;Cookie', 'Host', 'a,content-length', 'Webhook-Signature', 'Connection'],
    with: hooks,
  },
  hooksTimeout: { takes: [['2.5', 2.5]], refuses: ['0', '301', '5s'], with: hooks },
  hooksRetries: {
    takes: [
      ['0', 0],
      ['10', 10],
    ],
    refuses: ['-1', '101', '1.5'],
    with: hooks,
  },
  hooksGiveUpAfter: { takes: [['0', 0]], refuses: ['-1', '1d'], with: hooks },
  hooksSecret: {
    takes: [
      [secret, [new Uint8Array(24)]],
      [`${secret},${secret}`, [new Uint8Array(24), new Uint8Array(24)]],
    ],
    // Named in no message: see below.
    refuses: [],
    with: hooks,
  },
  demo: toggleCases(),
  logFormat: { takes: [['json', 'json']], refuses: ['xml'] },
}

function toggleCases(on: string[] = ['true', '1', 'TRUE', 'True']): { takes: [string, boolean][]; refuses: string[] } {
  return { takes: on.map((text) => [text, true] as [string, boolean]), refuses: ['yes', '2', 'on', 'tru'] }
}

for (const [key, { takes, refuses, with: others = {} }] of Object.entries(cases)) {
  const { name } = variables[key as keyof typeof variables]
  test(`${name} is taken from the environment and from --${flagOf(name)}, and wrong values are refused by name`, () => {
    for (const [text, value] of takes) {
      assert.deepEqual(read({ ...others, [name]: text })[key as keyof Config], value, text)
      const config = read(others, [`--${flagOf(name)}=${text}`])
      assert.deepEqual(config[key as keyof Config], value, text)
      // It goes to other threads.
      assert.deepEqual(structuredClone(config), config)
    }
    for (const text of refuses) {
      const [problem, ...more] = problemsOf({ ...others, [name]: text })
      assert.ok(problem?.startsWith(`${name} is "`), `${name}=${text}: ${problem}`)
      assert.match(problem ?? '', /; it must be /)
      assert.deepEqual(more, [], text)
      assert.ok(problemsOf(others, [`--${flagOf(name)}=${text}`])[0]?.startsWith(`--${flagOf(name)} is "`), text)
    }
  })
}

test('an empty value is as good as none', () => {
  const empty = Object.fromEntries(Object.values(variables).map(({ name }) => [name, '']))
  assert.deepEqual(read(empty), read({}))
})

test('without any setting the defaults are those of the table', () => {
  const config = read({})
  assert.deepEqual(config.bind, { host: '0.0.0.0', port: 8080 })
  assert.equal(config.basePath, '/files')
  assert.deepEqual(handlerOptions(config), {
    path: '/files',
    maxSize: 0,
    lockTimeoutMs: 20_000,
    idleTimeoutMs: 60_000,
    minRate: 0,
    minRateWindowMs: 10_000,
    progressIntervalMs: 1000,
    waitForProgress: true,
    downloads: false,
    removePartials: false,
    extensions: {
      creation: true,
      'creation-with-upload': true,
      'creation-defer-length': true,
      termination: true,
      checksum: true,
      'checksum-trailer': true,
      concatenation: false,
      'concatenation-unfinished': false,
    },
    location: { trustForwarded: false },
    cors: { allowOrigin: ['*'], allowCredentials: false, allowHeaders: [], exposeHeaders: [], maxAgeSeconds: 86_400 },
  })
})

test('a flag wins over its variable; a switch needs no value and can be switched off', () => {
  const environment = { FILELOFT_MAX_SIZE: '1', FILELOFT_ENABLE_DOWNLOAD: 'true' }
  assert.equal(read(environment, ['--max-size', '2']).maxSize, 2)
  assert.equal(read({}, ['--enable-download']).enableDownload, true)
  assert.equal(read(environment, ['--enable-download=false']).enableDownload, false)
})

test('an unknown variable or flag is refused with the nearest one that is known', () => {
  assert.deepEqual(problemsOf({ FILELOFT_MAX_SIZ: '1', OTHER: '1' }), [
    'FILELOFT_MAX_SIZ is no variable of fileloft; FILELOFT_MAX_SIZE may be meant',
  ])
  assert.deepEqual(problemsOf({ FILELOFT_S3_BUCKET_NAME_XYZ: 'secret' }), [
    'FILELOFT_S3_BUCKET_NAME_XYZ is no variable of fileloft',
  ])
  assert.deepEqual(problemsOf({}, ['--max-szie=1']), ['--max-szie is no flag of fileloft; --max-size may be meant'])
  assert.deepEqual(problemsOf({}, ['chekc']), ['"chekc" is no command; check may be meant'])
  assert.deepEqual(problemsOf({}, ['check', 'more']), ['"more" is one word too many'])
  assert.deepEqual(problemsOf({}, ['--max-size', '--enable-download']), ['--max-size needs a value'])
  assert.deepEqual(problemsOf({}, ['--max-size=1', '--max-size=2']), ['--max-size is given twice'])
})

test('all problems are told at once', () => {
  const problems = problemsOf({ FILELOFT_BIND: 'x', FILELOFT_MAX_SIZE: 'y', FILELOFT_TLS_CERT: 'c' }, ['--nope'])
  assert.equal(problems.length, 4, problems.join('\n'))
})

test('a password in a value is not repeated', () => {
  assert.deepEqual(problemsOf({ FILELOFT_BASE_URL: 'https://me:hunter2@a.example/' }), [
    'FILELOFT_BASE_URL is "https://***@a.example/"; it must be an http or https URL without user, query and fragment',
  ])
})

test('a secret that is none is refused without being shown', () => {
  for (const wrong of ['whsec_', 'whsec_AAAA', secret.slice(6), `${secret}A`, `whsec_${'A'.repeat(88)}`, 'hunter2']) {
    assert.deepEqual(problemsOf({ ...hooks, FILELOFT_HOOKS_SECRET: wrong }), [
      'FILELOFT_HOOKS_SECRET is set to something; it must be whsec_ and the base64 of 24 to 64 bytes; several separated by commas',
    ])
  }
})

test('programs find no secret of the server in their environment, and all else', () => {
  const given = { FILELOFT_HOOKS_SECRET: secret, FILELOFT_AZURE_CONNECTION_STRING: 's', PATH: '/bin', AWS_REGION: 'x' }
  assert.deepEqual(environmentForPrograms(given), { PATH: '/bin', AWS_REGION: 'x' })
})

test('a misspelt event is refused with the one that may be meant', () => {
  assert.match(
    problemsOf({ ...hooks, FILELOFT_HOOKS_EVENTS: 'pre-create,post-finnish' }).join(),
    /^FILELOFT_HOOKS_EVENTS is "pre-create,post-finnish"; .*: "post-finnish" is none; post-finish may be meant$/,
  )
})

test('the command hooks takes replay with ids or --all, and nothing else', () => {
  const replayOf = (...args: string[]) => readCommandLine(['hooks', ...args], hooks).replay
  assert.equal(replayOf(), null)
  assert.deepEqual(replayOf('replay', 'a', 'b'), ['a', 'b'])
  assert.equal(replayOf('replay', '--all'), 'all')
  assert.deepEqual(problemsOf(hooks, ['hooks', 'replya']), ['"replya" is no command of hooks; replay may be meant'])
  for (const args of [['replay'], ['replay', 'a', '--all']]) {
    assert.deepEqual(problemsOf(hooks, ['hooks', ...args]), ['replay needs the ids of events, or --all'])
  }
  for (const args of [
    ['hooks', '--all'],
    ['sweep', '--all'],
  ]) {
    assert.deepEqual(problemsOf(hooks, args), ['--all is for `fileloft hooks replay`'])
  }
  assert.deepEqual(problemsOf({}, ['hooks', 'replay', '--all']), [
    'replay needs FILELOFT_HOOKS_URL or FILELOFT_HOOKS_DIR',
  ])
})

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

test('RUST_LOG counts where FILELOFT_LOG is unset, and only warns when it is not understood', () => {
  assert.deepEqual(read({ RUST_LOG: 'debug' }).log, [{ target: '', level: 'debug' }])
  assert.deepEqual(read({ RUST_LOG: 'debug', FILELOFT_LOG: 'warn' }).log, [{ target: '', level: 'warn' }])
  const odd = read({ RUST_LOG: 'a=b=c' })
  assert.deepEqual(odd.log, [])
  assert.match(odd.warnings.join(), /RUST_LOG is not understood/)
})

test('the standard variables of OpenTelemetry switch traces on, by an exporter or an endpoint', () => {
  const tracing = (environment: Record<string, string>) => read(environment).tracing
  assert.equal(tracing({}), null)
  assert.equal(tracing({ OTEL_SERVICE_NAME: 'x' }), null)
  assert.deepEqual(tracing({ OTEL_TRACES_EXPORTER: 'otlp' }), { serviceName: 'fileloft' })
  assert.deepEqual(tracing({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }), { serviceName: 'fileloft' })
  assert.deepEqual(tracing({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c' }), { serviceName: 'fileloft' })
  assert.equal(tracing({ OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }), null)
  assert.equal(tracing({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_SDK_DISABLED: 'true' }), null)
  const named = { OTEL_TRACES_EXPORTER: 'otlp', OTEL_RESOURCE_ATTRIBUTES: 'a=b,service.name=x' }
  assert.deepEqual(tracing(named), { serviceName: undefined })
  assert.deepEqual(tracing({ OTEL_TRACES_EXPORTER: 'otlp', OTEL_SERVICE_NAME: 'x' }), { serviceName: undefined })
})

test('a filter gives each target the level of the longest prefix', () => {
  const level = (filter: string, target: string) => levelOf(parseFilter(filter), target)
  assert.equal(level('', 'fileloft::http'), 'info')
  assert.equal(level('debug', 'fileloft::http'), 'debug')
  assert.equal(level('fileloft_server=trace,warn', 'fileloft::http'), 'trace')
  assert.equal(level('warn,fileloft::http=off', 'fileloft::http'), 'silent')
  assert.equal(level('warn,fileloft::http=off', 'fileloft::handler'), 'warn')
  assert.equal(level('hyper=warn,tokio', 'fileloft::http'), 'silent')
  assert.equal(level('info,hyper=warn', 'fileloft::http'), 'info')
  assert.equal(level('fileloft', 'fileloft::http'), 'trace')
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

test('where a setting of the storage is not set, the variables of its own tools count', () => {
  assert.equal(read({ ...s3, AWS_REGION: 'eu-west-1', AWS_DEFAULT_REGION: 'x' }).s3Region, 'eu-west-1')
  assert.equal(read({ ...s3, AWS_DEFAULT_REGION: 'x' }).s3Region, 'x')
  assert.equal(read({ ...s3, FILELOFT_S3_REGION: 'y', AWS_REGION: 'x' }).s3Region, 'y')
  assert.equal(read({ ...s3, AWS_ENDPOINT_URL: 'http://localhost:9' }).s3Endpoint, 'http://localhost:9')
  assert.equal(
    read({ FILELOFT_GCS_BUCKET: 'b', STORAGE_EMULATOR_HOST: 'localhost:9' }).gcsEndpoint,
    'http://localhost:9',
  )
  const { azureConnectionString, azureAccount } = read({
    FILELOFT_AZURE_CONTAINER: 'c',
    AZURE_STORAGE_CONNECTION_STRING: 's',
    AZURE_STORAGE_ACCOUNT: 'a',
  })
  assert.deepEqual([azureConnectionString, azureAccount], ['s', 'a'])
  // Set for something else, without this server having to do with it.
  assert.equal(read({ AWS_REGION: 'eu-west-1' }).backend, 'fs')
  assert.deepEqual(problemsOf({ ...s3, AWS_ENDPOINT_URL_S3: 'http://' }), [
    'AWS_ENDPOINT_URL_S3 is "http://"; it must be an http or https URL such as http://localhost:9000',
  ])
})

test('secrets that are refused are not shown', () => {
  const refused: [string, string][] = [
    ['FILELOFT_AUTH_TOKENS', 'hunter2'],
    ['FILELOFT_AUTH_TOKENS', '0123456789abcdef,hunter2'],
    ['FILELOFT_AUTH_TOKENS', 'hunter2 hunter2 hunter2'],
    ['FILELOFT_AUTH_TOKENS', '0123456789abcdef,'],
    ['FILELOFT_AUTH_URL_SECRET', 'hunter2'],
    ['FILELOFT_AUTH_URL_SECRET', `hunter2 ${'x'.repeat(32)}`],
    ['FILELOFT_AUTH_URL_SECRET', `${'x'.repeat(32)},hunter2`],
  ]
  for (const [name, value] of refused) {
    const [problem = '', ...more] = problemsOf({ [name]: value })
    assert.ok(problem.startsWith(`${name} is set to something; it must be `), problem)
    assert.ok(!problem.includes('hunter2'))
    assert.deepEqual(more, [])
  }
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
  const plain = { FILELOFT_AUTH_JWKS_URL: 'http://id.example/keys', FILELOFT_AUTH_AUDIENCE: 'uploads' }
  assert.match(warnings(plain), /JWKS_URL is not https/)
  assert.equal(warnings({ ...plain, FILELOFT_AUTH_JWKS_URL: 'http://[::1]:9/keys' }), '')
})
