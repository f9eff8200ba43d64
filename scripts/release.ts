/**
 * Publishes what HEAD is: to npm, to JSR, and the images (`IMAGE` names them, as in the Makefile).
 * `npm run release -- --dry-run` says what that would be and what is still missing for it; nothing leaves the machine.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { 'dry-run': { type: 'boolean', default: false } } })
const dryRun = values['dry-run']
const deno = 'node_modules/.bin/deno'
const image = process.env['IMAGE'] ?? 'fileloft'
const { name, version } = JSON.parse(readFileSync('package.json', 'utf8')) as { name: string; version: string }

const changes = output('git', 'status', '--porcelain')
if (changes !== '') fail(`The tree has changes that are not committed:\n${changes}`)

const problems = findProblems()
if (problems.length > 0 && !dryRun) fail(problems.join('\n'))
console.log(`${name} ${version}${dryRun ? ', dry run' : ''}`)
for (const problem of problems) console.log(`not ready: ${problem}`)

publishToNpm()
publishToJsr()
pushImages()

/** Why this cannot be released yet. */
function findProblems(): string[] {
  const found: string[] = []
  const pending = readdirSync('.changeset').filter((file) => file.endsWith('.md'))
  if (pending.length > 0) found.push(`changesets wait (${pending.join(', ')}): npm run release:version`)
  const heading = readFileSync('CHANGELOG.md', 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`## ${version}`))
  if (heading !== `## ${version}`) found.push(`CHANGELOG.md has "${heading ?? ''}" where "## ${version}" is wanted`)
  const tags = output('git', 'tag', '--points-at', 'HEAD').split('\n')
  if (!tags.includes(`v${version}`)) found.push(`HEAD has no tag v${version}`)
  if (!existsSync(deno)) found.push('Deno, which publishes to JSR, is not installed')
  return found
}

function publishToNpm(): void {
  const [packed] = JSON.parse(output('npm', 'pack', '--dry-run', '--json')) as {
    files: { path: string; size: number }[]
    size: number
    unpackedSize: number
  }[]
  if (packed === undefined) fail('npm pack lists nothing')
  console.log(`\nnpm: ${packed.files.length} files, ${kb(packed.size)} packed, ${kb(packed.unpackedSize)} unpacked`)
  for (const { path, size } of packed.files) console.log(`  ${path} ${size}`)
  if (!dryRun) run('npm', 'publish')
}

function publishToJsr(): void {
  console.log('\njsr:')
  if (existsSync(deno)) run(deno, 'publish', ...(dryRun ? ['--dry-run'] : []))
  else console.log('  not tried')
}

function pushImages(): void {
  console.log('\nimages:')
  if (!dryRun) run('make', 'docker-build-all', `IMAGE=${image}`)
  for (const backend of ['fs', 's3', 'gcs', 'azure']) {
    const tags = [backend, `${version}-${backend}`, ...(backend === 'fs' ? ['latest', version] : [])]
    for (const tag of tags) {
      console.log(`  ${image}:${tag}`)
      if (dryRun) continue
      if (tag.startsWith(version)) run('docker', 'tag', `${image}:${backend}`, `${image}:${tag}`)
      run('docker', 'push', `${image}:${tag}`)
    }
  }
}

function output(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim()
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: 'inherit' })
}

function kb(bytes: number): string {
  return `${Math.round(bytes / 1000)} kB`
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}
