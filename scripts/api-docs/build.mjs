/**
 * Writes the API reference to docs/api: a module for each subpath that package.json exports. Fails on a name that is
 * exported and not documented, on a type that is used and not exported, and on a link that leads nowhere.
 */
import { readFileSync } from 'node:fs'
import { Application } from 'typedoc'

const root = new URL('../../', import.meta.url).pathname
const { exports, name } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const sources = Object.entries(exports).flatMap(([subpath, { types }]) =>
  types === undefined
    ? []
    : [[`${name}${subpath.slice(1)}`, types.replace(/^\.\/dist\/(.*)\.d\.ts$/, `${root}src/$1.ts`)]],
)

const app = await Application.bootstrapWithPlugins({
  name,
  entryPoints: sources.map(([, source]) => source),
  tsconfig: `${root}tsconfig.build.json`,
  basePath: `${root}src`,
  out: `${root}docs/api`,
  readme: 'none',
  // The repository's address is not known here.
  disableSources: true,
  validation: { notExported: true, invalidLink: true, invalidPath: true, notDocumented: true },
  // What stores keep in records for themselves, and the shapes of what a Worker's binding returns.
  intentionallyNotExported: [
    'FileUpload',
    'ObjectUpload',
    'Bucket',
    'R2Object',
    'R2ObjectBody',
    'R2List',
    'R2Created',
    'R2Multipart',
    'R2HttpMetadata',
  ],
})
const project = await app.convert()
if (project === undefined) throw new Error('the sources do not compile')
for (const module of project.children ?? []) {
  const [subpath] =
    sources.find(
      ([, source]) => source === `${root}src/${module.name}.ts` || source === `${root}src/${module.name}/index.ts`,
    ) ?? []
  if (subpath === undefined) throw new Error(`no subpath is exported for ${module.name}`)
  module.name = subpath
}
app.validate(project)
if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1)
await app.generateOutputs(project)
