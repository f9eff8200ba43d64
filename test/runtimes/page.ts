/** docs/runtimes.md in pieces. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from './newcomer.ts'

export interface Section {
  readonly title: string
  /** Where the program belongs in the newcomer's folder. */
  readonly file: string
  /** Where it is below examples/. */
  readonly example: string
  readonly program: string
  readonly commands: readonly string[]
}

export const sections = (await readFile(join(root, 'docs/runtimes.md'), 'utf8'))
  .split(/^## /m)
  .slice(1)
  .map((text): Section => {
    const blocks = [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    const code = (language: string) => blocks.filter((block) => block[1] === language).map((block) => block[2] ?? '')
    const [, file = '', example = ''] = /^`(.*?)`, from\s+\[examples\/(.*?)\]\(\.\.\/examples\//m.exec(text) ?? []
    return {
      title: text.split('\n')[0] ?? '',
      file,
      example,
      program: code('ts').join(''),
      commands: code('sh').flatMap((block) => block.trim().split('\n')),
    }
  })
