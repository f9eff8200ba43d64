/**
 * Next.js and SvelteKit, each in its production build of the example: only what `createTusHandler` makes there is the
 * handler of the case instead, found by a header.
 */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Platform, TusHandler } from '../../src/index.ts'
import { buildNext, buildSvelte, modules, nextApp, svelteApp } from './apps.ts'
import { type Folder, root } from './newcomer.ts'
import type { Listen } from './transport.ts'

declare global {
  var fileloftOfTheCase: ((request: Request, platform?: Platform) => Promise<Response>) | undefined
}

/** What the example imports; its route lies in this very process. */
const fileloft = `
  export const createTusHandler = () => (request, platform) => globalThis.fileloftOfTheCase(request, platform)
  export const fileStore = () => {}
  export const fsLocker = fileStore
`

const handlers = new Map<string, TusHandler>()
globalThis.fileloftOfTheCase = async (request, platform) => {
  const name = request.headers.get('x-test-handler') ?? ''
  return (await handlers.get(name)?.(request, platform)) ?? new Response(`no handler ${name}`, { status: 500 })
}

interface App {
  /** Builds it and hands over what answers requests. */
  readonly start: (port: number) => Promise<RequestListener>
  /** Goes with every request. */
  readonly headers: (port: number) => Readonly<Record<string, string>>
}

type NextServer = (options: object) => { prepare(): Promise<void>; getRequestHandler(): RequestListener }

const apps: Readonly<Record<'nextjs' | 'sveltekit', App>> = {
  nextjs: {
    async start(port) {
      // What it says would be among the outcomes.
      console.log = console.error
      const dir = await built(nextApp({ atRoot: true, fileloft }), buildNext)
      const next = createRequire(join(root, modules, 'next/package.json'))('next') as NextServer
      const app = next({ dir, dev: false, hostname: '127.0.0.1', port })
      await app.prepare()
      return app.getRequestHandler()
    },
    // That is what it takes 127.0.0.1 for.
    headers: (port) => ({ Host: `localhost:${port}` }),
  },

  sveltekit: {
    async start() {
      const path = await built(svelteApp({ atRoot: true, fileloft }), buildSvelte)
      Object.assign(process.env, { BODY_SIZE_LIMIT: 'Infinity', PROTOCOL_HEADER: 'x-test-scheme' })
      const { href } = pathToFileURL(join(path, 'build/handler.js'))
      return ((await import(href)) as { readonly handler: RequestListener }).handler
    },
    // Without it, it would believe in https.
    headers: () => ({ 'X-Test-Scheme': 'http' }),
  },
}

async function built(made: Promise<Folder>, build: (folder: Folder) => Promise<void>): Promise<string> {
  const folder = await made
  process.on('exit', () => rmSync(folder.path, { recursive: true, force: true }))
  await build(folder)
  return folder.path
}

/** One server for all cases: to build and start it takes seconds. */
export async function listenApp(name: keyof typeof apps): Promise<Listen> {
  const server = createServer({ requestTimeout: 0 })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.on('request', await apps[name].start(port))
  const common = apps[name].headers(port)
  let count = 0
  return (handler) => {
    const name = String(++count)
    handlers.set(name, handler)
    return Promise.resolve({
      port,
      ...(common['Host'] !== undefined && { host: common['Host'] }),
      headers: { ...common, 'X-Test-Handler': name },
      close: () => Promise.resolve(void handlers.delete(name)),
    })
  }
}
