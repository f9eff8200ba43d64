import type { Body, Meta, Uppy } from '@uppy/core'
import { createMeter, formatDuration, formatSize } from '../src/node/client/units.ts'

/**
 * Shows how fast all uploads are together, and how long they take at that.
 * @returns What is to be called when nothing moves: rate and time left begin anew.
 */
export function showSpeed<M extends Meta, B extends Body>(uppy: Uppy<M, B>, place: HTMLElement): () => void {
  let meter = createMeter()
  let timer: ReturnType<typeof setInterval> | undefined
  const sums = () => {
    const files = uppy.getFiles().filter(({ progress, error }) => progress.uploadStarted && (error ?? null) === null)
    const sum = (pick: (file: (typeof files)[number]) => number) => files.reduce((total, file) => total + pick(file), 0)
    return {
      sent: sum(({ progress }) => progress.bytesUploaded || 0),
      total: sum(({ size }) => size ?? 0),
      isOver: files.every(({ progress }) => progress.uploadComplete),
      isPaused: files.every(({ progress, isPaused }) => progress.uploadComplete || isPaused === true),
    }
  }
  const show = () => {
    const { sent, total, isOver, isPaused } = sums()
    const rate = isPaused ? 0 : meter.rate()
    const parts = isOver ? [] : [`${formatSize(sent)} of ${formatSize(total)}`]
    if (rate > 0) parts.push(`${formatSize(rate)}/s`, `${formatDuration((total - sent) / rate)} left`)
    place.textContent = parts.join(' · ')
  }
  const stop = () => {
    clearInterval(timer)
    timer = undefined
    place.textContent = ''
  }
  uppy.on('upload-progress', () => {
    meter.add(sums().sent)
    timer ??= setInterval(show, 500)
  })
  // What stood still would count as slow.
  const begin = () => {
    meter = createMeter()
    show()
  }
  for (const event of ['pause-all', 'resume-all', 'upload-pause'] as const) uppy.on(event, begin)
  for (const event of ['complete', 'cancel-all'] as const) uppy.on(event, stop)
  return begin
}
