/** After `changeset version`: the other files that name the version get the one of package.json. */
import { readFileSync, writeFileSync } from 'node:fs'

const versionOf = (text: string) => (JSON.parse(text) as { version: string }).version
const version = versionOf(readFileSync('package.json', 'utf8'))

/** The version stands first in them, in package-lock.json twice. The rest stays as it is written. */
for (const [file, times] of [
  ['deno.json', 1],
  ['package-lock.json', 2],
] as const) {
  let text = readFileSync(file, 'utf8')
  const before = `"version": "${versionOf(text)}"`
  for (let n = 0; n < times; n++) text = text.replace(before, `"version": "${version}"`)
  writeFileSync(file, text)
}
