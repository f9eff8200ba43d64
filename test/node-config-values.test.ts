/** What each setting takes and refuses, and what it is when it is not set. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Config } from '../src/node/config.ts'
import { handlerOptions } from '../src/node/handler-options.ts'
import { flagOf, variables } from '../src/node/variables.ts'
import { azure, hooks, jwks, jwt, jwtSecret, problemsOf, read, s3, secret } from './node-config-support.ts'

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

test('a misspelt event is refused with the one that may be meant', () => {
  assert.match(
    problemsOf({ ...hooks, FILELOFT_HOOKS_EVENTS: 'pre-create,post-finnish' }).join(),
    /^FILELOFT_HOOKS_EVENTS is "pre-create,post-finnish"; .*: "post-finnish" is none; post-finish may be meant$/,
  )
})

test('a list of events that names none is refused: nobody would be told of anything', () => {
  assert.match(
    problemsOf({ ...hooks, FILELOFT_HOOKS_EVENTS: ' , ' }).join(),
    /^FILELOFT_HOOKS_EVENTS is " , "; .*: there is none$/,
  )
})
