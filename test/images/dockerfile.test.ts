/** What the images are made of, as far as it can be told without building them: `npm run test:images` does. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { backendPackages } from '../../src/node/packages.ts'

const root = new URL('../../', import.meta.url)
const { version, peerDependencies } = JSON.parse(await readFile(new URL('package.json', root), 'utf8')) as {
  readonly version: string
  readonly peerDependencies: Readonly<Record<string, string>>
}

test('every optional package belongs to a backend, so that an image has it, or is for traces', () => {
  const traces = ['@opentelemetry/api', '@opentelemetry/sdk-node']
  assert.deepEqual([...Object.values(backendPackages).flat(), ...traces].sort(), Object.keys(peerDependencies).sort())
})

test('the version in the images’ labels is the one of package.json', async () => {
  assert.match(await readFile(new URL('Dockerfile', root), 'utf8'), new RegExp(`^ARG VERSION=${version}$`, 'm'))
})
