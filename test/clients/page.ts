/** A headless Chromium on a page with Uppy's Dashboard, served from an origin of its own. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { build } from 'esbuild'
import { type Browser, chromium, type Locator, type Page } from 'playwright-core'
import type { Answer } from './support.ts'

/** The browser's command, or null when there is none. */
export function findChromium(): string | null {
  const known = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
  return known.find((path) => existsSync(path)) ?? null
}

export function launchChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

/** Serves the page; `localhost` is another site than the server's 127.0.0.1, so that CORS is real. */
export async function servePage(): Promise<{ readonly origin: string } & AsyncDisposable> {
  const [script, style] = await Promise.all([bundle(), bundleStyle()])
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Uploads</title>
<style>${style}</style><body><div id="dashboard"></div><script type="module" src="/page.js"></script></body></html>`
  const server = createServer((request, response) => {
    const isScript = request.url === '/page.js'
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : html)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.unref()
  return {
    origin: `http://localhost:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

export interface DashboardPage extends AsyncDisposable {
  readonly page: Page
  /** The server's answers, as the browser got them. */
  readonly answers: readonly Answer[]
  /** Button of the Dashboard by its label. */
  button(name: string): Locator
  /** Adds the file through the Dashboard's file input and presses its upload button. */
  upload(path: string): Promise<void>
  /** URLs of what was uploaded. Rejects when Uppy gives up. */
  finished(): Promise<string[]>
  /** Waits for something that happens in the course of the upload; rejects when the upload fails first. */
  during<T>(event: Promise<T>): Promise<T>
}

/** Opens the page. `parameters` are those of `uppy-page.ts`. */
export async function openDashboard(
  browser: Browser,
  origin: string,
  parameters: Readonly<Record<string, string>>,
): Promise<DashboardPage> {
  const context = await browser.newContext()
  const page = await context.newPage()
  const answers: Answer[] = []
  page.on('response', (response) => {
    const offset = response.headers()['upload-offset']
    answers.push({
      method: response.request().method(),
      url: response.url(),
      status: response.status(),
      offset: offset === undefined ? null : Number(offset),
    })
  })
  await page.goto(`${origin}/?${new URLSearchParams(parameters).toString()}`)

  const finished = async () => {
    const outcome = page.locator('body[data-outcome]')
    await outcome.waitFor({ state: 'attached', timeout: 120_000 })
    const text = (await outcome.getAttribute('data-outcome')) ?? ''
    const { uploaded, failed } = JSON.parse(text) as { uploaded: string[]; failed: string[] }
    assert.deepEqual(failed, [], 'Uppy gave up')
    return uploaded
  }
  const button = (name: string) => page.getByRole('button', { name, exact: true })
  return {
    page,
    answers,
    button,
    async upload(path) {
      await page.locator('input[type=file]').first().setInputFiles(path)
      await button('Upload 1 file').click()
    },
    finished,
    during: (event) => Promise.race([event, finished().then(() => event)]),
    [Symbol.asyncDispose]: () => context.close(),
  }
}

async function bundle(): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: import.meta.dirname,
    entryPoints: ['uppy-page.ts'],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? assert.fail('nothing was bundled')
}

async function bundleStyle(): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      contents: '@import "@uppy/core/css/style.min.css"; @import "@uppy/dashboard/css/style.min.css";',
      resolveDir: import.meta.dirname,
      loader: 'css',
    },
    bundle: true,
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? assert.fail('nothing was bundled')
}
