import { readFileSync } from 'node:fs'
import type { Config } from '../config.ts'
import type { Feature } from '../features.ts'
import type { DemoSettings } from './settings.ts'

/** Where `npm run build:demo` puts the page, seen from the sources as well as from `dist`. */
const folder = new URL('../../../dist/demo/', import.meta.url)

const files = {
  'page.js': 'text/javascript; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
  'licenses.txt': 'text/plain; charset=utf-8',
} as const

/**
 * The page to try uploads with, at `/`.
 * @throws Error when it was not built.
 */
export function demoFeature({ baseUrl, basePath, enableDownload, maxSize }: Config): Feature {
  const html = read('index.html')
  const bodies = new Map(Object.keys(files).map((name) => [name, read(name)]))
  let settings: DemoSettings = {
    endpoint: baseUrl ?? basePath,
    download: enableDownload,
    extensions: [],
    maxSize: maxSize === 0 ? null : maxSize,
  }
  const common = {
    'Cache-Control': 'no-cache',
    'Content-Security-Policy': policy(baseUrl),
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  }
  return {
    handler(handler) {
      settings = { ...settings, extensions: handler.extensions }
      return handler
    },
    routes(app) {
      app.get('/', (c) => {
        const page = html.replace('data-settings="{}"', () => `data-settings="${escape(JSON.stringify(settings))}"`)
        return c.html(page, 200, common)
      })
      for (const [name, type] of Object.entries(files)) {
        app.get(`/demo/${name}`, (c) => c.body(bodies.get(name) ?? '', 200, { ...common, 'Content-Type': type }))
      }
    },
  }
}

/** Nothing comes from elsewhere and goes elsewhere; but uploads, where their public URL is. */
function policy(baseUrl: string | undefined): string {
  const uploads = baseUrl === undefined ? '' : ` ${new URL(baseUrl).origin}`
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    // Previews of files and icons in style sheets.
    "img-src 'self' blob: data:",
    `connect-src 'self'${uploads}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

function read(name: string): string {
  try {
    return readFileSync(new URL(name, folder), 'utf8')
  } catch (error) {
    throw new Error('FILELOFT_DEMO needs its page, which is not built: npm run build:demo', { cause: error })
  }
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}
