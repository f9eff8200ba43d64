/** Variables that are not the server's own, and what it passes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { environmentForPrograms } from '../src/node/config.ts'
import { levelOf, parseFilter } from '../src/node/filter.ts'
import { problemsOf, read, s3, secret } from './node-config-support.ts'

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

test('programs find no secret of the server in their environment, and all else', () => {
  const given = { FILELOFT_HOOKS_SECRET: secret, FILELOFT_AZURE_CONNECTION_STRING: 's', PATH: '/bin', AWS_REGION: 'x' }
  assert.deepEqual(environmentForPrograms(given), { PATH: '/bin', AWS_REGION: 'x' })
})
