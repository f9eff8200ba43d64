/** Commands in the docs that take a container engine: what can be told of them without one. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const root = new URL('../', import.meta.url).pathname

/**
 * A `docker run` of an image as the command that runs the same from here, so that its settings are tried; null for what
 * has been checked already: files that are named exist, targets of make too, images are those that are built. The files
 * and the images themselves have tests of their own.
 */
export async function toServerCommand(line: string): Promise<string | null> {
  const words = line.split(' ')
  if (words[0] === 'make') {
    await promisify(execFile)('make', ['-n', ...words.slice(1)], { cwd: root })
    return null
  }
  if (words[0] === 'kubectl' || line.startsWith('docker compose ')) {
    await access(join(root, words[words.indexOf('-f') + 1] ?? ''))
    return null
  }
  if (words[0] !== 'docker') return line
  const image = words.find((word) => /^fileloft:\w+$/.test(word)) ?? assert.fail(`no image in ${line}`)
  const [, tag = ''] = image.split(':')
  const makefile = await readFile(join(root, 'Makefile'), 'utf8')
  assert.ok(makefile.includes(`$(IMAGE):${tag}`), `make builds no ${image}`)
  const settings = words.flatMap((word, index) => (words[index - 1] === '-e' && word.includes('=') ? [word] : []))
  const isServer = words[1] === 'run' && words.indexOf(image) === words.length - 1
  // What else is set is the storage's own: a stand-in for it needs its own credentials.
  return isServer ? [...settings.filter((each) => each.startsWith('FILELOFT_')), 'npm start'].join(' ') : null
}
