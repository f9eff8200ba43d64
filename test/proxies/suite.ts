/** What has to hold behind each proxy, by the very configuration that examples/deploy/ shows. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { DefaultHttpStack, type HttpStack } from 'tus-js-client'
import { makeCertificate } from '../cli-support.ts'
import { curl, headers } from '../clients/curl.ts'
import {
  assertStored,
  countAnswers,
  idOf,
  makeFile,
  MiB,
  type SourceFile,
  storedIds,
  temporaryFolder,
} from '../clients/support.ts'
import { type TrackedUpload, trackUpload } from '../clients/tus.ts'
import { freePort } from '../servers/program.ts'
import { type BreakingProxy, startBreakingProxy } from '../support/breaking-proxy.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { http2Stack } from './http2-stack.ts'

export interface ProxyPlace {
  /** Where it serves TLS. */
  readonly port: number
  /** Where fileloft is. */
  readonly upstream: number
  readonly cert: string
  readonly key: string
}

export interface RunningProxy extends AsyncDisposable {
  stop(): Promise<void>
}

/**
 * @param start Null where the program is not installed.
 * @param whileAway What requests meet while fileloft restarts.
 */
export function proxySuite(
  name: string,
  start: (place: ProxyPlace) => Promise<RunningProxy | null>,
  whileAway: 'answers 423' | 'waits',
): void {
  // An upload that gets nowhere must not hold up everything.
  describe(`behind ${name}`, { timeout: 120_000 }, () => {
    let folder: Awaited<ReturnType<typeof temporaryFolder>>
    let file: SourceFile
    let certificate: { cert: string; key: string }
    let stacks: Readonly<Record<string, () => HttpStack>>

    before(async () => {
      folder = await temporaryFolder()
      file = await makeFile(join(folder.path, 'source'), 48 * MiB)
      certificate = makeCertificate(folder.path, 'localhost')
      const ca = readFileSync(certificate.cert, 'utf8')
      stacks = { 'HTTP/1.1': () => new DefaultHttpStack({ ca }), 'HTTP/2': () => http2Stack(ca) }
    })
    after(() => folder[Symbol.asyncDispose]())

    /** fileloft, the proxy before it, and a network that can break before that. */
    const open = async (): Promise<Setting | null> => {
      const server = await startServer({ env: { FILELOFT_BEHIND_PROXY: 'true' } })
      const place = { port: await freePort(), upstream: server.port, ...certificate }
      let proxy = await start(place)
      if (proxy === null) {
        await server.close()
        return null
      }
      const network = await startBreakingProxy(place.port)
      return {
        server,
        network,
        origin: `https://localhost:${network.port}`,
        restartProxy: async () => {
          await proxy?.stop()
          proxy = await start(place)
        },
        async [Symbol.asyncDispose]() {
          await network.close()
          await proxy?.stop()
          await server.close()
        },
      }
    }
    const begin = ({ origin }: Setting, stack: string): TrackedUpload => {
      const tracked = trackUpload(file.path, { endpoint: `${origin}/files`, httpStack: stacks[stack]!() })
      tracked.upload.start()
      return tracked
    }

    test('Location is the proxy’s, whatever a client says about its address', async () => {
      await using setting = await open()
      if (setting === null) return
      for (const protocol of ['--http1.1', '--http2']) {
        const lies = [
          ['Forwarded', 'proto=http;host=evil.example'],
          ['X-Forwarded-Host', 'evil.example'],
          ['X-Forwarded-Proto', 'http'],
          ['X-Forwarded-Port', '81'],
          ['X-Forwarded-Prefix', '/evil'],
        ]
        const asked = headers({ 'Upload-Length': 11, ...Object.fromEntries(lies) })
        const url = `${setting.origin}/files`
        const answer = await curl(['--cacert', certificate.cert, protocol, '-X', 'POST', url, ...asked])
        assert.equal(answer.status, 201)
        assert.equal(answer.version, protocol === '--http2' ? '2' : '1.1')
        assert.match(answer.headers.get('location') ?? '', new RegExp(`^${setting.origin}/files/[0-9a-f]{32}$`))
      }
    })

    for (const protocol of ['HTTP/1.1', 'HTTP/2']) {
      test(`an upload over ${protocol} that breaks in the middle goes on where it broke`, async () => {
        await using setting = await open()
        if (setting === null) return
        const { network, server } = setting
        // Past a proxy that collects bodies nothing would be there after the break.
        network.plan({ kind: 'cut', at: 24 * MiB })
        const tracked = begin(setting, protocol)
        await tracked.finished
        await assertOneUpload(server, tracked, file)
        const offset = tracked.answers.find(({ method }) => method === 'HEAD')?.offset ?? 0
        assert.ok(offset > 12 * MiB, `only ${offset} bytes had been passed on`)
      })

      test(`an upload over ${protocol} survives a restart of the proxy and one of fileloft`, async () => {
        await using setting = await open()
        if (setting === null) return
        const { network, server, restartProxy } = setting
        network.plan({ kind: 'stall', at: 12 * MiB }, { kind: 'stall', at: 30 * MiB })
        const tracked = begin(setting, protocol)
        await tracked.during(network.reached(1))
        await restartProxy()
        await tracked.during(network.reached(2))
        await server.stop()
        network.breakAll('cut')
        const asked = curl(['--cacert', certificate.cert, '-I', tracked.upload.url ?? '', ...headers()])
        // Any other answer makes clients start over.
        if (whileAway === 'answers 423') assert.equal((await asked).status, 423)
        await server.restart()
        if (whileAway === 'waits') assert.equal((await asked).status, 200)
        await tracked.finished
        await assertOneUpload(server, tracked, file)
      })
    }
  })
}

interface Setting extends AsyncDisposable {
  readonly server: TestServer
  readonly network: BreakingProxy
  readonly origin: string
  readonly restartProxy: () => Promise<void>
}

async function assertOneUpload(server: TestServer, tracked: TrackedUpload, file: SourceFile): Promise<void> {
  await assertStored(server, tracked.upload.url, file)
  assert.deepEqual(await storedIds(server), [idOf(tracked.upload.url)], 'the client had to start over')
  assert.equal(countAnswers(tracked.answers, 'POST'), 1)
}
