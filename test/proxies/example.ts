/** The configuration of a proxy as examples/deploy/ shows it, changed in nothing but addresses and files. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { missing } from '../servers/versions.ts'

/**
 * Reads examples/deploy/`name` and puts what a test needs in the place of what stands there.
 * @throws Error when something to be replaced is not there.
 */
export async function exampleWith(name: string, changes: Readonly<Record<string, string>>): Promise<string> {
  let text = await readFile(new URL(`../../examples/deploy/${name}`, import.meta.url), 'utf8')
  for (const [from, to] of Object.entries(changes)) {
    if (!text.includes(from)) throw new Error(`${name} has no ${from}`)
    text = text.replaceAll(from, to)
  }
  return text
}

/** Where Debian has the program; null, after a line on how to get it, where it is not. @throws Error in CI */
export function findDebian(name: string): string | null {
  const found = ['/usr/sbin', '/usr/bin', '/usr/local/bin'].map((folder) => `${folder}/${name}`).find(existsSync)
  return found ?? missing(name, `apt-get install ${name}`)
}
