/**
 * Rewrites package.json in an image that is being built, so that `npm install` and `npm prune` leave what is needed:
 * `dependencies.ts compile` for the compiler and all that is imported, `dependencies.ts BACKEND [PACKAGE ...]` for what
 * running on that backend takes and the optional packages that are named. Versions are those of package-lock.json.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { backendPackages } from '../src/node/packages.ts'

interface Manifest {
  dependencies: Record<string, string>
  devDependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
  peerDependenciesMeta?: object
  scripts?: object
}

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest
const optional = Object.keys(manifest.peerDependencies ?? {})
const targets: Readonly<Record<string, readonly string[]>> = {
  ...backendPackages,
  compile: ['typescript', '@types/node', ...optional],
}
const [target = '', ...extra] = process.argv.slice(2)
const wanted = targets[target]
if (wanted === undefined) fail(`BACKEND must be one of ${Object.keys(backendPackages).join(', ')}, not "${target}"`)
for (const name of extra) if (!optional.includes(name)) fail(`EXTRA may have ${optional.join(', ')}, not "${name}"`)

for (const name of [...wanted, ...extra]) {
  const version = manifest.devDependencies?.[name]
  if (version === undefined) throw new Error(`package.json has no version of ${name}`)
  manifest.dependencies[name] = version
}
delete manifest.devDependencies
delete manifest.peerDependencies
delete manifest.peerDependenciesMeta
delete manifest.scripts
writeFileSync('package.json', `${JSON.stringify(manifest, null, 2)}\n`)

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
