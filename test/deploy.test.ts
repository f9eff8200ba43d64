/** examples/deploy/: the compose files run against the servers they name, the manifest holds together. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parse, parseAllDocuments } from 'yaml'
import { readCommandLine } from '../src/node/config.ts'
import { storages } from './images/backends.ts'
import { startServer } from './support/server.ts'

const run = promisify(execFile)
const root = new URL('../', import.meta.url)
const read = (path: string) => readFile(new URL(path, root), 'utf8')
const deploy = 'examples/deploy'

interface Service {
  readonly image: string
  readonly build?: { readonly args: Readonly<Record<string, string>> }
  readonly environment?: Readonly<Record<string, string>>
  readonly command?: string | readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test: readonly string[] }
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly read_only?: boolean
  readonly tmpfs?: readonly string[]
  readonly stop_grace_period?: string
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}

const composeOf = async (name: string) => parse(await read(`${deploy}/compose/${name}.yaml`)) as Compose

test('there is a compose file for each backend', async () => {
  const files = await readdir(new URL(`${deploy}/compose`, root))
  const expected = Object.keys(storages).map((name) => `${name}.yaml`)
  assert.deepEqual(files.sort(), expected.sort())
})

for (const backend of Object.keys(storages)) {
  test(`compose/${backend}.yaml: services wait for each other, volumes exist, there is time to stop`, async () => {
    const { services, volumes } = await composeOf(backend)
    const { fileloft, ...others } = services
    assert.ok(fileloft !== undefined)
    assert.deepEqual([fileloft.image, fileloft.build?.args['BACKEND']], [`fileloft:${backend}`, backend])
    assert.deepEqual([fileloft.read_only, fileloft.tmpfs, fileloft.ports], [true, ['/tmp'], ['8080:8080']])
    const { config } = readCommandLine([], { FILELOFT_BACKEND: backend, ...fileloft.environment })
    assert.ok(Number.parseInt(fileloft.stop_grace_period ?? '', 10) > config.shutdownTimeout)
    for (const { depends_on: needed = {} } of Object.values(services)) {
      for (const [name, { condition }] of Object.entries(needed)) {
        assert.ok(services[name] !== undefined, `there is no service ${name}`)
        if (condition === 'service_healthy') assert.ok(services[name].healthcheck !== undefined, name)
      }
    }
    const mounts = Object.values(services).flatMap((each) => each.volumes ?? [])
    assert.deepEqual(
      mounts.map((mount) => mount.split(':')[0]),
      Object.keys(volumes),
    )
    // The versions that the tests run.
    const { services: tested } = parse(await read('test/servers/compose.yaml')) as Compose
    const known = Object.values(tested).map(({ image }) => image)
    for (const { image } of Object.values(others)) {
      assert.ok(image.startsWith('fileloft:') || known.includes(image), image)
    }
  })
}

/** What the tests' servers call the settings that stand in the files. */
const sameAs: Readonly<Record<string, string>> = {
  FILELOFT_S3_ENDPOINT: 'AWS_ENDPOINT_URL_S3',
  FILELOFT_GCS_ENDPOINT: 'STORAGE_EMULATOR_HOST',
}

for (const backend of ['s3', 'gcs', 'azure']) {
  test(`compose/${backend}.yaml: its settings and its bucket’s program work on the real server`, async () => {
    await using storage = (await storages[backend]?.()) ?? null
    if (storage === null) return
    const { fileloft, bucket } = (await composeOf(backend)).services
    // The server of the test has another address and other keys; names of buckets stay the file's.
    const env: Record<string, string> = {}
    for (const [name, value] of Object.entries(fileloft?.environment ?? {})) {
      const given = /BUCKET|CONTAINER/.test(name) ? undefined : storage.env[sameAs[name] ?? name]
      env[name] = given ?? value
    }
    const [program = ''] = bucket?.command ?? []
    // Twice, as on the second `up`.
    for (let time = 0; time < 2; time++) {
      const options = { cwd: root, env: { PATH: process.env['PATH'], ...env } }
      await run(process.execPath, ['--input-type=module', '--eval', program], options)
    }
    await using server = await startServer({ env: { ...env, FILELOFT_BACKEND: backend, FILELOFT_DATA_DIR: '' } })
    const type = 'application/offset+octet-stream'
    const headers = { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5', 'Content-Type': type }
    const created = await fetch(server.url, { method: 'POST', headers, body: 'hello' })
    assert.deepEqual([created.status, created.headers.get('upload-offset')], [201, '5'])
  })
}

interface Resource {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly stringData: Readonly<Record<string, string>>
  readonly spec: {
    readonly replicas: number
    readonly selector: { readonly matchLabels: object }
    readonly template: { readonly metadata: { readonly labels: object }; readonly spec: Pod }
    readonly ports: readonly { readonly targetPort: string }[]
  }
}

interface Pod {
  readonly terminationGracePeriodSeconds: number
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly volumes: readonly { readonly name: string }[]
  readonly containers: readonly Container[]
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}

interface Container {
  readonly image: string
  readonly env: readonly { readonly name: string; readonly value: string }[]
  readonly envFrom: readonly { readonly secretRef: { readonly name: string } }[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } }
  readonly resources: { readonly limits: { readonly memory: string } }
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly volumeMounts: readonly { readonly name: string }[]
}

test('kubernetes.yaml: replicas on S3, probes, time to stop, memory, a read-only root filesystem', async () => {
  const documents = parseAllDocuments(await read(`${deploy}/kubernetes.yaml`))
  const resources = documents.map((document) => document.toJS() as Resource)
  const one = (kind: string) => resources.find((each) => each.kind === kind) ?? assert.fail(`no ${kind}`)
  const { spec } = one('Deployment')
  const pod = spec.template.spec
  const [container] = pod.containers
  assert.ok(container !== undefined && spec.replicas >= 2)
  assert.match(container.image, /:s3$/)
  assert.equal(container.envFrom[0]?.secretRef.name, one('Secret').metadata.name)
  assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels)
  assert.deepEqual(one('Service').spec.selector, spec.selector.matchLabels)
  assert.deepEqual(one('PodDisruptionBudget').spec.selector, spec.selector)

  const variables = Object.fromEntries(container.env.map(({ name, value }) => [name, value]))
  const { config } = readCommandLine([], { FILELOFT_BACKEND: 's3', ...variables, ...one('Secret').stringData })
  assert.deepEqual(config.warnings, [])
  const [, pause] = container.lifecycle.preStop.exec.command
  assert.ok(pod.terminationGracePeriodSeconds > Number(pause) + config.shutdownTimeout)
  assert.equal(container.resources.limits.memory, '1Gi')
  assert.ok(1024 ** 3 >= config.bufferBudget + 256 * 1024 ** 2)

  const [port] = container.ports
  assert.deepEqual([port?.containerPort, one('Service').spec.ports[0]?.targetPort], [config.bind.port, port?.name])
  const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe]
  assert.deepEqual(
    probes.map(({ httpGet }) => [httpGet.path, httpGet.port]),
    ['/healthz', '/healthz', '/readyz'].map((path) => [path, port?.name]),
  )

  assert.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  const { runAsNonRoot, runAsUser, runAsGroup } = pod.securityContext
  assert.equal(runAsNonRoot, true)
  assert.match(await read('Dockerfile'), new RegExp(`^USER ${String(runAsUser)}:${String(runAsGroup)}$`, 'm'))
  const names = (list: readonly { name: string }[]) => list.map(({ name }) => name)
  assert.deepEqual(names(container.volumeMounts), names(pod.volumes))
})

test('traefik.yaml: its router, middlewares and service name each other', async () => {
  const { http } = parse(await read(`${deploy}/traefik.yaml`)) as {
    http: Readonly<Record<'routers' | 'middlewares' | 'services', Readonly<Record<string, Record<string, unknown>>>>>
  }
  for (const router of Object.values(http.routers)) {
    assert.ok(http.services[String(router['service'])] !== undefined)
    for (const name of router['middlewares'] as string[]) assert.ok(http.middlewares[name] !== undefined, name)
  }
  assert.ok(!Object.values(http.middlewares).some((each) => 'buffering' in each))
})

test('make builds an image for each backend, and the one for the disk is also the latest', async () => {
  const args = ['-n', 'docker-build-all', 'IMAGE=example/fileloft', 'REVISION=r']
  const { stdout } = await run('make', args, { cwd: root })
  const start = 'docker build --build-arg REVISION=r --build-arg BACKEND='
  assert.deepEqual(stdout.trim().split('\n'), [
    `${start}fs -t example/fileloft:latest -t example/fileloft:fs .`,
    ...['s3', 'gcs', 'azure'].map((backend) => `${start}${backend} -t example/fileloft:${backend} .`),
  ])
})
