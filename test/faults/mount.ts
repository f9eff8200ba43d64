/** A small disk of its own: a tmpfs, which only root may mount. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Disk extends Disposable {
  readonly path: string
  /** Bytes that are free. */
  free(): number
  /** Takes all but `left` bytes, as other tenants of a disk do. */
  fill(left?: number): void
  /** Gives them back. */
  empty(): void
  remount(mode: 'ro' | 'rw'): void
}

/** Mounts a disk of so many MiB, or says why that cannot be. */
export function mountDisk(mebibytes: number, options = ''): Disk | string {
  const path = mkdtempSync(join(tmpdir(), 'fileloft-disk-'))
  try {
    run('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m${options}`, 'fileloft-test', path)
  } catch (error) {
    rmSync(path, { recursive: true })
    return `no tmpfs can be mounted here: ${error instanceof Error ? error.message.trim() : String(error)}`
  }
  const ballast = join(path, 'ballast')
  const free = () => {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  }
  return {
    path,
    free,
    fill: (left = 0) => writeFileSync(ballast, Buffer.alloc(Math.max(0, free() - left), 1)),
    empty: () => rmSync(ballast, { force: true }),
    remount: (mode) => run('mount', '-o', `remount,${mode}`, path),
    [Symbol.dispose]() {
      run('umount', '--lazy', path)
      rmSync(path, { recursive: true })
    },
  }
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
