import type * as v from 'valibot'
import { parseAddress } from './address.ts'
import { parseAlgorithms, parseKeyUrl, parseTokens, parseUrlSecrets } from './auth/parse.ts'
import { parseSecrets } from './hooks/signature.ts'
import { defaultTypes, hookTypes, parseTypes } from './hooks/types.ts'
import { parseFilter } from './filter.ts'
import { parseOrigins } from './origins.ts'
import {
  basePath,
  baseUrl,
  boolean,
  count,
  endpoint,
  forwardable,
  headerNames,
  hooksUrl,
  longestTimer,
  mode,
  oneOf,
  parsed,
  prefix,
  seconds,
  size,
  sizeFrom,
  text,
} from './schemas.ts'

/** One setting: a variable of the environment and a flag of the command. */
export interface Variable<T> {
  /** `FILELOFT_MAX_SIZE`; its flag is `--max-size`. */
  readonly name: string
  /** What is used where it is not set; undefined = nothing. */
  readonly default?: string
  readonly meaning: string
  readonly schema: v.GenericSchema<string, T>
  /** Whether a flag of this name needs no value. */
  readonly isSwitch: boolean
  /** Never shown, not even in an error about it. */
  readonly isSecret: boolean
  /** Other programs' variables that count where it is not set, the first one first. */
  readonly fallbacks?: readonly string[]
}

const otherTypes = hookTypes.filter((type) => !defaultTypes.split(',').includes(type))

function variable<T>(
  name: string,
  schema: v.GenericSchema<string, T>,
  meaning: string,
  options: { default?: string; isSecret?: boolean; fallbacks?: readonly string[] } = {},
): Variable<T | undefined> {
  return { name, schema, meaning, isSwitch: false, isSecret: false, ...options }
}

function required<T>(name: string, schema: v.GenericSchema<string, T>, meaning: string, value: string): Variable<T> {
  return { name, schema, meaning, isSwitch: false, isSecret: false, default: value }
}

function toggle(name: string, meaning: string): Variable<boolean> {
  return { name, schema: boolean, meaning, isSwitch: true, isSecret: false, default: 'false' }
}

/** Every setting there is, in the order in which they are listed. */
export const variables = {
  bind: required(
    'FILELOFT_BIND',
    parsed('host:port, such as 0.0.0.0:8080 or [::]:8080', parseAddress),
    'TCP address to listen on; port 0 takes a free one',
    '0.0.0.0:8080',
  ),
  unixSocket: variable('FILELOFT_UNIX_SOCKET', text, 'Unix socket to listen on instead; not with TLS'),
  unixSocketMode: variable('FILELOFT_UNIX_SOCKET_MODE', mode, 'File mode of the Unix socket, such as 0660'),
  workers: required(
    'FILELOFT_WORKERS',
    parsed('auto, or a whole number from 1 to 64', (value) => {
      if (value.toLowerCase() === 'auto') return 'auto'
      const number = Number(value)
      return /^\d+$/.test(value) && number >= 1 && number <= 64 ? number : null
    }),
    'Threads that serve: a number, or auto = one per processor and at most 2, one on object storage',
    'auto',
  ),
  dataDir: variable(
    'FILELOFT_DATA_DIR',
    text,
    'Directory of the uploads: /var/lib/fileloft; when unset and that cannot be used, ./fileloft-data',
  ),
  sync: required(
    'FILELOFT_SYNC',
    oneOf('complete', 'always', 'never'),
    'When answers wait for the disk: complete (of an upload), always, never (a power cut can lose uploads)',
    'complete',
  ),
  backend: variable(
    'FILELOFT_BACKEND',
    oneOf('fs', 's3', 'gcs', 'azure'),
    'fs, s3, gcs or azure; when unset the one whose bucket or container is named, else fs',
  ),
  s3Bucket: variable('FILELOFT_S3_BUCKET', text, 'Bucket on S3 or a compatible storage'),
  s3Prefix: variable('FILELOFT_S3_PREFIX', prefix, 'Goes before all keys'),
  s3Endpoint: variable('FILELOFT_S3_ENDPOINT', endpoint, 'URL of the storage; else AWS_ENDPOINT_URL_S3, AWS', {
    fallbacks: ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'],
  }),
  s3Region: variable('FILELOFT_S3_REGION', text, 'Region; else AWS_REGION, AWS_DEFAULT_REGION, us-east-1', {
    fallbacks: ['AWS_REGION', 'AWS_DEFAULT_REGION'],
  }),
  s3ForcePathStyle: variable(
    'FILELOFT_S3_FORCE_PATH_STYLE',
    boolean,
    'Bucket in the path of URLs (true) or in their host (false); when unset, what fits the endpoint',
  ),
  s3AllowUnfenced: toggle(
    'FILELOFT_S3_ALLOW_UNFENCED',
    'Go on with a storage that ignores conditional writes: for one server only',
  ),
  gcsBucket: variable('FILELOFT_GCS_BUCKET', text, 'Bucket on Google Cloud Storage'),
  gcsPrefix: variable('FILELOFT_GCS_PREFIX', prefix, 'Goes before all names'),
  gcsEndpoint: variable('FILELOFT_GCS_ENDPOINT', endpoint, 'URL of an emulator; else STORAGE_EMULATOR_HOST', {
    fallbacks: ['STORAGE_EMULATOR_HOST'],
  }),
  azureContainer: variable('FILELOFT_AZURE_CONTAINER', text, 'Container on Azure Blob Storage'),
  azurePrefix: variable('FILELOFT_AZURE_PREFIX', prefix, 'Goes before all names'),
  azureConnectionString: variable(
    'FILELOFT_AZURE_CONNECTION_STRING',
    text,
    'Connection string; else AZURE_STORAGE_CONNECTION_STRING; goes before an account',
    { isSecret: true, fallbacks: ['AZURE_STORAGE_CONNECTION_STRING'] },
  ),
  azureAccount: variable(
    'FILELOFT_AZURE_ACCOUNT',
    text,
    'Account, with the credentials of the environment; else AZURE_STORAGE_ACCOUNT',
    { fallbacks: ['AZURE_STORAGE_ACCOUNT'] },
  ),
  azureEndpoint: variable(
    'FILELOFT_AZURE_ENDPOINT',
    endpoint,
    'URL of the blob service, where it is not the account’s own',
  ),
  partSize: required(
    'FILELOFT_PART_SIZE',
    sizeFrom('5MiB', '5GiB'),
    'Object storage: size of a part, more where an upload would have too many',
    '8MiB',
  ),
  partConcurrency: required(
    'FILELOFT_PART_CONCURRENCY',
    count(1, 64),
    'Object storage: parts of one upload sent at the same time',
    '4',
  ),
  bufferBudget: required(
    'FILELOFT_BUFFER_BUDGET',
    sizeFrom('5MiB', '1TiB'),
    'Object storage: memory for the parts of all uploads; they wait for their turn',
    '512MiB',
  ),
  infoPrefix: variable(
    'FILELOFT_INFO_PREFIX',
    prefix,
    'Object storage: goes before the keys of records, to keep them apart from the uploads',
  ),
  maxSize: required('FILELOFT_MAX_SIZE', size, 'Largest upload: bytes, or 10GiB, 500MB; 0 = no limit', '0'),
  basePath: required('FILELOFT_BASE_PATH', basePath, 'Path of the endpoints', '/files/'),
  baseUrl: variable('FILELOFT_BASE_URL', baseUrl, 'Public URL of the endpoints, for Location'),
  behindProxy: toggle('FILELOFT_BEHIND_PROXY', 'Trust Forwarded and X-Forwarded-* headers'),
  lockTimeout: required(
    'FILELOFT_LOCK_TIMEOUT',
    seconds(0, longestTimer),
    'Seconds a request waits for an upload that another one works on; then 423',
    '20',
  ),
  idleTimeout: required(
    'FILELOFT_IDLE_TIMEOUT',
    seconds(0, longestTimer),
    'Seconds a request body may stand still; 0 = for ever',
    '60',
  ),
  minRate: required(
    'FILELOFT_MIN_RATE',
    size,
    'Least bytes per second of a request body, while it is waited for: bytes, or 4KiB; 0 = as slow as it likes',
    '0',
  ),
  minRateWindow: required(
    'FILELOFT_MIN_RATE_WINDOW',
    seconds(1, longestTimer),
    'Seconds over which FILELOFT_MIN_RATE is looked at',
    '10',
  ),
  maxActiveUploads: required(
    'FILELOFT_MAX_ACTIVE_UPLOADS',
    count(0, 10_000_000),
    'Most uploads with a body running at the same time; then 429; 0 = no limit',
    '0',
  ),
  maxActiveUploadsPerClient: required(
    'FILELOFT_MAX_ACTIVE_UPLOADS_PER_CLIENT',
    count(0, 10_000_000),
    'The same for one client: an owner, else an address',
    '0',
  ),
  maxBytesPerClient: required(
    'FILELOFT_MAX_BYTES_PER_CLIENT',
    size,
    'Most bytes that one client may send in a period, such as 10GiB; then 429; 0 = no limit',
    '0',
  ),
  maxBytesPeriod: required(
    'FILELOFT_MAX_BYTES_PERIOD',
    seconds(1, 1_000_000_000),
    'Seconds of such a period, which begins with the first byte of a client',
    '3600',
  ),
  metrics: toggle('FILELOFT_METRICS', 'Answer GET /metrics for Prometheus on the port of the uploads'),
  metricsBind: variable(
    'FILELOFT_METRICS_BIND',
    parsed('host:port, such as 127.0.0.1:9090', parseAddress),
    'Answer it on an address of its own instead',
  ),
  shutdownTimeout: required(
    'FILELOFT_SHUTDOWN_TIMEOUT',
    seconds(0, longestTimer),
    'Seconds that running requests have to end on SIGTERM or SIGINT',
    '10',
  ),
  disableCors: toggle('FILELOFT_DISABLE_CORS', 'Send no CORS headers'),
  corsAllowOrigin: required(
    'FILELOFT_CORS_ALLOW_ORIGIN',
    parsed('*, origins such as https://app.example.com, or /regular expressions/, separated by commas', parseOrigins),
    'Origins that may upload: *, or exact ones and /regular expressions/ separated by commas',
    '*',
  ),
  corsAllowCredentials: toggle('FILELOFT_CORS_ALLOW_CREDENTIALS', 'Let browsers send cookies; not with *'),
  corsAllowHeaders: variable('FILELOFT_CORS_ALLOW_HEADERS', headerNames, 'More request headers to allow'),
  corsExposeHeaders: variable('FILELOFT_CORS_EXPOSE_HEADERS', headerNames, 'More response headers to expose'),
  corsMaxAge: required(
    'FILELOFT_CORS_MAX_AGE',
    parsed('whole seconds', (value) => (/^\d{1,9}$/.test(value) ? Number(value) : null)),
    'Seconds a browser may remember a preflight',
    '86400',
  ),
  disableTermination: toggle('FILELOFT_DISABLE_TERMINATION', 'Refuse DELETE'),
  disableCreation: toggle('FILELOFT_DISABLE_CREATION', 'Refuse POST'),
  disableCreationWithUpload: toggle('FILELOFT_DISABLE_CREATION_WITH_UPLOAD', 'Refuse data in POST'),
  disableDeferLength: toggle('FILELOFT_DISABLE_DEFER_LENGTH', 'Refuse uploads of a length told later'),
  disableChecksum: toggle('FILELOFT_DISABLE_CHECKSUM', 'Refuse Upload-Checksum'),
  enableDownload: toggle('FILELOFT_ENABLE_DOWNLOAD', 'Answer GET with completed uploads'),
  enableConcatenation: toggle('FILELOFT_ENABLE_CONCATENATION', 'Offer concatenation (parallel uploads)'),
  enableCleanupConcatPartials: toggle(
    'FILELOFT_ENABLE_CLEANUP_CONCAT_PARTIALS',
    'Remove partial uploads once they are concatenated',
  ),
  enableExpiration: toggle('FILELOFT_ENABLE_EXPIRATION', 'Let incomplete uploads expire'),
  expirationTtl: variable(
    'FILELOFT_EXPIRATION_TTL',
    seconds(1, 1_000_000_000),
    'Seconds an incomplete upload lives after its last byte',
  ),
  sweepInterval: required(
    'FILELOFT_SWEEP_INTERVAL',
    seconds(1, longestTimer),
    'Seconds between removals of expired uploads',
    '300',
  ),
  tlsCert: variable('FILELOFT_TLS_CERT', text, 'PEM file of the certificate and its chain; reloaded on SIGHUP'),
  tlsKey: variable('FILELOFT_TLS_KEY', text, 'PEM file of its private key'),
  tlsMode: required(
    'FILELOFT_TLS_MODE',
    oneOf('tls12', 'tls13', 'tls12-strong'),
    'tls12 = TLS 1.2 and 1.3; tls13 = 1.3 only; tls12-strong = both with the strongest suites only',
    'tls12',
  ),
  enableH2c: toggle('FILELOFT_ENABLE_H2C', 'HTTP/2 without TLS beside HTTP/1.1 on the same port'),
  authTokens: variable(
    'FILELOFT_AUTH_TOKENS',
    parsed('bearer tokens separated by commas, each of at least 16 letters, digits and -._~+/=', parseTokens),
    'Bearer tokens that let in for everything, separated by commas, each of at least 16 characters',
    { isSecret: true },
  ),
  authJwksUrl: variable(
    'FILELOFT_AUTH_JWKS_URL',
    parsed('an http or https URL without user and fragment', parseKeyUrl),
    'URL of the keys (JWKS) that sign the JSON Web Tokens which let in',
  ),
  authJwtSecret: variable(
    'FILELOFT_AUTH_JWT_SECRET',
    text,
    'Or the secret that signs them (HMAC), of at least 32 bytes',
    { isSecret: true },
  ),
  authJwtPublicKey: variable(
    'FILELOFT_AUTH_JWT_PUBLIC_KEY',
    text,
    'Or the public key of who signs them: PEM text or a PEM file',
  ),
  authIssuer: variable('FILELOFT_AUTH_ISSUER', text, 'What their iss claim must be; any when unset'),
  authAudience: variable('FILELOFT_AUTH_AUDIENCE', text, 'What their aud claim must be or hold; any when unset'),
  authAlgorithms: variable(
    'FILELOFT_AUTH_ALGORITHMS',
    parsed('algorithms such as RS256,ES256, separated by commas; never none', parseAlgorithms),
    'How they may be signed, separated by commas; when unset HS256 with a secret, else what fits the key',
  ),
  authLeeway: required(
    'FILELOFT_AUTH_LEEWAY',
    seconds(0, 300),
    'Seconds by which their exp and nbf may be off, as clocks are',
    '5',
  ),
  authJwksMaxAge: required(
    'FILELOFT_AUTH_JWKS_MAX_AGE',
    seconds(1, 86_400),
    'Seconds after which the keys are fetched again',
    '600',
  ),
  authJwksCooldown: required(
    'FILELOFT_AUTH_JWKS_COOLDOWN',
    seconds(0, 3600),
    'Seconds for which a token with an unknown key does not have them fetched again',
    '30',
  ),
  authScopes: toggle(
    'FILELOFT_AUTH_SCOPES',
    'Ask JSON Web Tokens for uploads:create, uploads:write, uploads:read or uploads:delete',
  ),
  authScopeClaim: required(
    'FILELOFT_AUTH_SCOPE_CLAIM',
    text,
    'Claim that holds the scopes: text with spaces between them, or a list',
    'scope',
  ),
  authOwnerClaim: variable(
    'FILELOFT_AUTH_OWNER_CLAIM',
    text,
    'Claim that says whose an upload is, such as sub; everybody else gets 404',
  ),
  authUrlSecret: variable(
    'FILELOFT_AUTH_URL_SECRET',
    parsed('secrets of at least 32 bytes without spaces, separated by commas', parseUrlSecrets),
    'Lets in by signed URLs; several separated by commas, of which the first signs',
    { isSecret: true },
  ),
  hooksUrl: variable('FILELOFT_HOOKS_URL', hooksUrl, 'URL that is told of uploads, in the format of tusd’s HTTP hooks'),
  hooksDir: variable('FILELOFT_HOOKS_DIR', text, 'Folder of programs named after the events that they are run for'),
  hooksEvents: required(
    'FILELOFT_HOOKS_EVENTS',
    parsed(`names separated by commas, of ${hookTypes.join(', ')}`, parseTypes),
    `Events to tell of, separated by commas; there are also ${otherTypes.join(' and ')}`,
    defaultTypes,
  ),
  hooksForwardHeaders: variable(
    'FILELOFT_HOOKS_FORWARD_HEADERS',
    forwardable,
    'Headers of the client’s request that go along with each hook, such as Authorization,Cookie',
  ),
  hooksTimeout: required(
    'FILELOFT_HOOKS_TIMEOUT',
    seconds(0.1, 300),
    'Seconds that a hook may take; pre- hooks with their retries',
    '15',
  ),
  hooksRetries: required(
    'FILELOFT_HOOKS_RETRIES',
    count(0, 100),
    'How often a hook is tried again that fails; post- hooks at least so often',
    '3',
  ),
  hooksGiveUpAfter: required(
    'FILELOFT_HOOKS_GIVE_UP_AFTER',
    seconds(0, 1_000_000_000),
    'Seconds for which a post- hook is tried again before it is set aside as dead',
    '86400',
  ),
  hooksSecret: variable(
    'FILELOFT_HOOKS_SECRET',
    parsed('whsec_ and the base64 of 24 to 64 bytes; several separated by commas', parseSecrets),
    'Signs the requests by Standard Webhooks: whsec_ and base64; several separated by commas',
    { isSecret: true },
  ),
  demo: toggle('FILELOFT_DEMO', 'Show a page at / to try uploads with; for a machine of your own'),
  log: variable(
    'FILELOFT_LOG',
    parsed('a level, or a filter such as fileloft_server=trace,warn', parseFilter),
    'trace, debug, info, warn, error, fatal, off, or a filter; where unset RUST_LOG counts, else info',
  ),
  logFormat: required('FILELOFT_LOG_FORMAT', oneOf('auto', 'text', 'json'), 'auto = text on a terminal', 'auto'),
} as const satisfies Record<string, Variable<unknown>>

/** `--max-size` for `FILELOFT_MAX_SIZE`. */
export function flagOf(name: string): string {
  return name.replace('FILELOFT_', '').toLowerCase().replaceAll('_', '-')
}
