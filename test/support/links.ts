/** Links of a page of Markdown to files beside it. */
import { posix } from 'node:path'

/** What it links to that is neither one of the files nor a folder that has some; paths with `/`, from one root. */
export function brokenLinks(page: string, text: string, files: readonly string[]): string[] {
  return [...text.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/\]\(([^)#\s]+)[^)\s]*\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^https?:/.test(target))
    .map((target) => posix.join(posix.dirname(page), target).replace(/\/$/, ''))
    .filter((path) => !files.some((file) => file === path || file.startsWith(`${path}/`)))
}
