/** Applications of Next.js and SvelteKit around the examples, as their own generators make them, built for production. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { transform } from 'esbuild'
import { type Folder, newcomersFolder, root } from './newcomer.ts'

const run = promisify(execFile)

/** Where `npm run runtimes` installs them. */
export const modules = 'test/runtimes/node_modules'

export interface AppOptions {
  /** Takes every path, instead of those below /files. */
  readonly atRoot?: boolean
  /** Goes in place of the installed package: what its entries export. */
  readonly fileloft?: string
}

export async function nextApp({ atRoot = false, fileloft }: AppOptions = {}): Promise<Folder> {
  const names = ['next', 'react', 'react-dom', 'styled-jsx', '@next', '@swc']
  const folder = await newcomersFolder(
    'nextjs',
    names.map((name) => `${modules}/${name}`),
  )
  const app = join(folder.path, 'app')
  await writeFile(join(app, 'layout.jsx'), 'export default ({ children }) => <html><body>{children}</body></html>')
  // With a file of TypeScript it would install the compiler and types, from the network.
  const route = join(app, 'files/[[...path]]/route')
  await writeFile(`${route}.js`, (await transform(await readFile(`${route}.ts`, 'utf8'), { loader: 'ts' })).code)
  await rm(`${route}.ts`)
  if (atRoot) await rename(join(app, 'files/[[...path]]'), join(app, '[[...path]]'))
  if (fileloft !== undefined) await replacePackage(folder, fileloft)
  return folder
}

export function nextCommand(...args: readonly string[]): string[] {
  return [process.execPath, join(root, modules, 'next/dist/bin/next'), ...args]
}

export async function buildNext({ path }: Folder): Promise<void> {
  const [file = '', ...args] = nextCommand('build', '--webpack')
  await run(file, args, { cwd: path, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' } })
}

/** @param config In place of the example's vite.config.js. */
export async function svelteApp({ atRoot = false, fileloft }: AppOptions = {}, config?: string): Promise<Folder> {
  const names = ['@sveltejs/kit', '@sveltejs/adapter-node', '@sveltejs/vite-plugin-svelte', 'svelte', 'vite']
  const folder = await newcomersFolder(
    'sveltekit',
    names.map((name) => `${modules}/${name}`),
  )
  const routes = join(folder.path, 'src/routes')
  await writeFile(join(folder.path, 'src/app.html'), '<body>%sveltekit.head%%sveltekit.body%</body>')
  if (atRoot) await rename(join(routes, 'files/[...path]'), join(routes, '[...path]'))
  if (fileloft !== undefined) await replacePackage(folder, fileloft)
  if (config !== undefined) await writeFile(join(folder.path, 'vite.config.js'), config)
  return folder
}

/** Its server is `build/index.js` then. */
export async function buildSvelte({ path }: Folder): Promise<void> {
  await run(process.execPath, [join(root, modules, 'vite/bin/vite.js'), 'build'], { cwd: path })
}

async function replacePackage({ path }: Folder, code: string): Promise<void> {
  const own = join(path, 'node_modules/fileloft')
  await rm(own, { recursive: true })
  await mkdir(dirname(join(own, 'index.js')), { recursive: true })
  await writeFile(join(own, 'index.js'), code)
  const exports = { '.': './index.js', './stores/*': './index.js', './lockers/*': './index.js' }
  await writeFile(join(own, 'package.json'), JSON.stringify({ name: 'fileloft', type: 'module', exports }))
}
