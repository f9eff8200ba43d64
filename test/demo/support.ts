/** The page of the real server in headless Chromium. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import { findChromium, launchChromium } from '../clients/page.ts'
import { makeFile, MiB, type SourceFile, temporaryFolder } from '../clients/support.ts'
import { startServer, type TestServer } from '../support/server.ts'

const executablePath = findChromium()
const missing = 'Chromium is missing: apt-get install -y chromium'
/** Where nobody looks at what was left out, leaving it out is a failure. */
export const skipWithoutChromium = executablePath === null && process.env['CI'] === undefined ? missing : false

/** What the tests of one file share. */
export interface Stage extends AsyncDisposable {
  readonly browser: Browser
  readonly server: TestServer
  readonly folder: string
  /** 40 MiB and a byte. */
  readonly big: SourceFile
  readonly small: SourceFile
}

/** Starts the server with the page as its sources are now, and the browser. */
export async function setStage(): Promise<Stage> {
  assert.ok(executablePath !== null, missing)
  await using resources = new AsyncDisposableStack()
  await buildPage()
  const folder = resources.use(await temporaryFolder()).path
  const env = {
    FILELOFT_DEMO: 'true',
    FILELOFT_ENABLE_DOWNLOAD: 'true',
    FILELOFT_ENABLE_CONCATENATION: 'true',
    FILELOFT_ENABLE_CLEANUP_CONCAT_PARTIALS: 'true',
    FILELOFT_MAX_SIZE: '50MiB',
  }
  const server = resources.use(await startServer({ env }))
  const browser = await launchChromium(executablePath)
  resources.defer(() => browser.close())
  const big = await makeFile(join(folder, 'big.bin'), 40 * MiB + 1)
  const small = await makeFile(join(folder, 'small.bin'), 12_345)
  const kept = resources.move()
  return { browser, server, folder, big, small, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

export async function buildPage(): Promise<void> {
  await promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../demo/build.ts')])
}

export interface DemoPage extends AsyncDisposable {
  readonly page: Page
  /** Methods of the requests for uploads so far, but those of the list. */
  readonly requests: readonly { method: string; url: string }[]
  button(name: string | RegExp): Locator
  /** Chooses files, without uploading them. */
  choose(...paths: string[]): Promise<void>
  /** Loads the page again, in a new tab where asked for. */
  comeBack(how: 'reload' | 'new tab'): Promise<void>
  /** Names of the files that the Dashboard shows. */
  shown(): Promise<string[]>
  /** What is in the list of uploads. */
  listed(): Promise<string[]>
  /** The URL of an upload in the list. */
  urlOf(name: string): Promise<string>
  /** Resolves once everything is uploaded. */
  complete(): Promise<void>
}

/** Opens it. Whatever is loaded from elsewhere or reported as an error fails the test when it is closed. */
export async function openDemo(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
): Promise<DemoPage> {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, ...options })
  const problems: string[] = []
  const requests: { method: string; url: string }[] = []
  context.on('page', (page) => {
    page.on('pageerror', (error) => problems.push(error.message))
    page.on('console', (message) => {
      // A status is no fault of the page, nor what Uppy says about it.
      const isFault = message.type() === 'error' && !/^(Failed to load resource|\[Uppy\])/.test(message.text())
      if (isFault) problems.push(message.text())
    })
    page.on('request', (request) => {
      const url = request.url()
      if (!/^(data|blob):/.test(url) && !url.startsWith(`${origin}/`)) problems.push(`loaded from elsewhere: ${url}`)
      if (url.startsWith(`${origin}/files`)) requests.push({ method: request.method(), url })
    })
  })
  const open = async () => {
    const page = await context.newPage()
    page.setDefaultTimeout(15_000)
    await page.goto(`${origin}/`)
    return page
  }
  let page = await open()
  const button = (name: string | RegExp) => page.getByRole('button', { name, exact: typeof name === 'string' })
  return {
    get page() {
      return page
    },
    requests,
    button,
    choose: (...paths) => page.locator('input[type=file]').first().setInputFiles(paths),
    async comeBack(how) {
      if (how === 'reload') await page.reload()
      else {
        await page.close()
        page = await open()
      }
    },
    shown: () => page.locator('.uppy-Dashboard-Item-name').allTextContents(),
    listed: () => page.locator('#uploads strong').allTextContents(),
    async urlOf(name) {
      const link = page.getByRole('link', { name: `Download ${name}`, exact: true })
      return (await link.getAttribute('href')) ?? assert.fail('a link without address')
    },
    complete: () => page.getByRole('status').getByText('Complete').waitFor(),
    async [Symbol.asyncDispose]() {
      await context.close()
      assert.deepEqual(problems, [])
    },
  }
}

/**
 * Waits until the browser keeps what it needs to go on after a restart: a copy of the one file that is not complete, and
 * that so many are. It is written half a second late.
 */
export async function restorable(page: Page, completed: number): Promise<void> {
  for (;;) {
    const { copies, states } = await page.evaluate(readKept)
    const files = states.flatMap((state) => Object.values((JSON.parse(state) as Kept).files))
    const [done, others] = [files.filter(isComplete), files.filter((file) => !isComplete(file))]
    const hasUrls = others.every(({ tus }) => typeof tus?.uploadUrl === 'string')
    if (copies === 1 && done.length === completed && others.length === 1 && hasUrls) return
  }
}

/** Waits until it knows that everything is complete: on coming back earlier, what is complete would be shown as left. */
export async function settled(page: Page): Promise<void> {
  for (;;) {
    const { copies, states } = await page.evaluate(readKept)
    const files = states.flatMap((state) => Object.values((JSON.parse(state) as Kept).files))
    if (copies === 0 && files.every(isComplete)) return
  }
}

/** What Golden Retriever writes down. */
interface Kept {
  readonly files: Readonly<Record<string, KeptFile>>
}
interface KeptFile {
  readonly progress: { readonly uploadComplete?: boolean }
  readonly tus?: { readonly uploadUrl?: string }
}

function isComplete({ progress }: KeptFile): boolean {
  return progress.uploadComplete === true
}

/** Runs in the page. */
async function readKept(): Promise<{ copies: number; states: string[] }> {
  const opening = indexedDB.open('uppy-blobs')
  await new Promise((resolve) => opening.addEventListener('success', resolve))
  const transaction = opening.result.transaction(['files', 'metadata'])
  const files = transaction.objectStore('files').count()
  const metadata: IDBRequest<{ metadata: string }[]> = transaction.objectStore('metadata').getAll()
  await new Promise((resolve) => transaction.addEventListener('complete', resolve))
  opening.result.close()
  return { copies: files.result, states: metadata.result.map(({ metadata }) => metadata) }
}

/** Takes the copies away, as browsers do that are short of space. */
export async function dropCopies(page: Page): Promise<void> {
  await page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        const opening = indexedDB.open('uppy-blobs')
        opening.addEventListener('success', () => {
          const transaction = opening.result.transaction('files', 'readwrite')
          transaction.objectStore('files').clear()
          transaction.addEventListener('complete', () => {
            opening.result.close()
            resolve()
          })
        })
      }),
  )
}

/** Asserts that nothing is wider than the screen. */
export async function assertFits(page: Page): Promise<void> {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth)
  const screen = page.viewportSize()?.width ?? assert.fail('no screen')
  assert.ok(wide <= screen, `${wide} px on a screen of ${screen}`)
}
