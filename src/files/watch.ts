import fs from 'node:fs'

/** Something that can be switched off. */
export interface Watch {
  /** Whether the system sends events; where it does not, one has to look. */
  readonly works: boolean
  close(): void
}

/** Tells names that appear, change or go in a folder (an empty name: something did). Never keeps the process alive. */
export function watchFolder(folder: string, onName: (name: string) => void): Watch {
  let works = true
  let watcher: fs.FSWatcher
  try {
    watcher = fs.watch(folder, { persistent: false }, (_event, name) => onName(name ?? ''))
  } catch {
    // The system's watches are used up, or it has none: the slow look has to do.
    return { works: false, close: () => undefined }
  }
  watcher.on('error', () => {
    works = false
    watcher.close()
  })
  return {
    get works() {
      return works
    },
    close: () => watcher.close(),
  }
}
