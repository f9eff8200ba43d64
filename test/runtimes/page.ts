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
  /** All but the last one. */
  readonly commands: readonly string[]
  /** The first upload. */
  readonly upload: string
  /** Other files that are shown, likewise. */
  readonly files: readonly { readonly file: string; readonly example: string; readonly text: string }[]
}

export const sections = (await readFile(join(root, 'docs/runtimes.md'), 'utf8'))
  .split(/^## /m)
  .slice(1)
  .map((text): Section => {
    const blocks = [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    const code = (language: string) => blocks.filter((block) => block[1] === language).map((block) => block[2] ?? '')
    const shown = [
      ...text.matchAll(/^`(.*?)`, from\s+\[examples\/(.*?)\]\(\.\.\/examples\/.*?\):\n\n```\w+\n([\s\S]*?)^```$/gm),
    ].map(([, file = '', example = '', text = '']) => ({ file, example, text }))
    const [program, ...files] = shown
    const commands = code('sh').flatMap((block) => block.trim().split('\n'))
    const isUpload = (command: string) => command.includes('fileloft upload ')
    return {
      title: text.split('\n')[0] ?? '',
      file: program?.file ?? '',
      example: program?.example ?? '',
      program: program?.text ?? '',
      files,
      commands: commands.filter((command) => !isUpload(command)),
      upload: commands.find(isUpload) ?? '',
    }
  })
