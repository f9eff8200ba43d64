/** What direct.ts needs of Node is no public interface: whether each version that is supported still has it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { programs } from './programs.ts'

const child = join(import.meta.dirname, 'direct-child.ts')

for (const { name, command } of [programs.node22, programs.node24, programs.node26]) {
  const skip = command === null && `${name} is not installed: npm run runtimes`
  void test(`${name}: long bodies are read past the parser, and the connection goes on`, { skip }, async () => {
    const [program = '', ...args] = command ?? []
    const { stdout } = await promisify(execFile)(program, [...args, child], { timeout: 30_000 })
    assert.equal(stdout, '3145728 bytes, as sent, direct\n'.repeat(2))
  })
}
