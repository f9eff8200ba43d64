/** Bundles the page into `dist/demo`, with the licenses of what is in it. */
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { build } from 'esbuild'

const source = import.meta.dirname
const target = join(source, '../dist/demo')

const { outputFiles, metafile } = await build({
  absWorkingDir: source,
  entryPoints: ['page.ts', 'page.css'],
  bundle: true,
  write: false,
  minify: true,
  metafile: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  legalComments: 'none',
  outdir: target,
})
const files = new Map(outputFiles.map(({ path, contents }) => [relative(target, path), contents]))
files.set('index.html', await readFile(join(source, 'index.html')))
files.set('licenses.txt', Buffer.from(await licenses(Object.keys(metafile.inputs))))

await mkdir(target, { recursive: true })
for (const [name, contents] of files) {
  // A server that starts meanwhile finds the old one or the new one.
  const temporary = join(target, `.${name}.${process.pid}`)
  await writeFile(temporary, contents)
  await rename(temporary, join(target, name))
}

/** The licenses of all packages that the bundle has a part of. */
async function licenses(inputs: readonly string[]): Promise<string> {
  const folders = new Set(inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []))
  const texts: string[] = []
  for (const folder of [...folders].toSorted()) {
    const path = join(source, folder)
    const { name, version, license } = JSON.parse(await readFile(join(path, 'package.json'), 'utf8')) as Record<
      string,
      string
    >
    const file = (await readdir(path)).find((each) => /^licen[cs]e/i.test(each))
    const text = file === undefined ? `License: ${license}\n` : await readFile(join(path, file), 'utf8')
    texts.push(`${name} ${version}\n\n${text.trim()}\n`)
  }
  return texts.join(`\n${'-'.repeat(80)}\n\n`)
}
