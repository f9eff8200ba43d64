/**
 * Rewrites package.json in an image that is being built, so that `npm install` and `npm prune` leave what is needed:
 * for `compile` that is the compiler and all that is imported, for a backend what running on it takes. Versions are
 * those of package-lock.json.
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

const compile = ['typescript', '@types/node', ...Object.values(backendPackages).flat()]
const targets: Readonly<Record<string, readonly string[]>> = { ...backendPackages, compile }
const target = process.argv[2] ?? ''
const wanted = targets[target]
if (wanted === undefined) {
  const allowed = Object.keys(backendPackages).join(', ')
  process.stderr.write(`BACKEND must be one of ${allowed}, not ${JSON.stringify(target)}\n`)
  process.exit(1)
}

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest
for (const name of wanted) {
  const version = manifest.devDependencies?.[name]
  if (version === undefined) throw new Error(`package.json has no version of ${name}`)
  manifest.dependencies[name] = version
}
delete manifest.devDependencies
delete manifest.peerDependencies
delete manifest.peerDependenciesMeta
delete manifest.scripts
writeFileSync('package.json', `${JSON.stringify(manifest, null, 2)}\n`)
