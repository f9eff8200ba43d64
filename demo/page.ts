/** The page to try uploads with: Uppy's Dashboard, and a list of what this browser uploaded. */
import Uppy from '@uppy/core'
import Dashboard from '@uppy/dashboard'
import GoldenRetriever from '@uppy/golden-retriever'
import Tus from '@uppy/tus'
import { explainAnswer } from '../src/node/client/explain.ts'
import { formatSize } from '../src/node/client/units.ts'
import type { DemoSettings } from '../src/node/demo/settings.ts'
import { find, make } from './elements.ts'
import { createList } from './list.ts'
import { showSpeed } from './speed.ts'

/** Larger files are not copied into the browser's store: after a restart they have to be chosen again. */
const largestKept = 1024 ** 3

const settings = JSON.parse(document.documentElement.dataset['settings'] ?? '{}') as DemoSettings
const list = createList(settings)
const uppy = new Uppy({ id: 'fileloft', restrictions: { maxFileSize: settings.maxSize } })

uppy.use(Dashboard, {
  inline: true,
  target: '#dashboard',
  width: '100%',
  height: 420,
  theme: 'auto',
  note: settings.maxSize === null ? null : `Up to ${formatSize(settings.maxSize)} a file`,
  // `showSpeed` tells more.
  hideProgressDetails: true,
  proudlyDisplayPoweredByUppy: false,
})
uppy.use(Tus, {
  endpoint: settings.endpoint,
  // Browsers open six connections to a server; the list below needs one, too.
  limit: 3,
  retryDelays: [0, 1000, 3000, 5000, 10_000, 20_000],
  // The same file can be uploaded again once it is there.
  removeFingerprintOnSuccess: true,
  onShouldRetry(error, _attempt, _options, decide) {
    const willRetry = decide(error)
    const answer = error.originalResponse
    if (willRetry) sayWaiting(reasonOf(answer?.getStatus(), answer?.getBody()))
    return willRetry
  },
})
// Its types lack the limits that it has.
const limits = { maxFileSize: largestKept, maxTotalSize: 4 * largestKept } as object
uppy.use(GoldenRetriever, { indexedDB: limits })

// What is complete is in the list below. Here it would count as left to do after coming back, and as done of what is added.
uppy.on('restored', dropComplete)
uppy.on('file-added', () => {
  if (Object.keys(uppy.getState().currentUploads).length === 0) dropComplete()
})
for (const event of ['upload-start', 'file-added', 'cancel-all'] as const) {
  uppy.on(event, () => find('#problems').replaceChildren())
}
uppy.on('upload-success', (file, { uploadURL }) => {
  if (file !== undefined && uploadURL !== undefined) {
    list.add({ url: uploadURL, name: file.name, size: file.size ?? 0, at: Date.now() })
  }
})
uppy.on('upload-error', (file, _error, response) => {
  sayWaiting(null)
  const { xhr } = (response?.body ?? {}) as { xhr?: XMLHttpRequest }
  const problem = make(
    'p',
    {},
    `${file?.name ?? 'A file'} was not uploaded: ${reasonOf(response?.status, xhr?.responseText)}.`,
  )
  find('#problems').append(problem)
})
for (const event of ['upload-progress', 'upload-success', 'pause-all', 'cancel-all'] as const) {
  uppy.on(event, () => sayWaiting(null))
}
const beginSpeed = showSpeed(uppy, find('#speed'))
offerParts()
find('#about').textContent =
  `Uploads go to ${new URL(settings.endpoint, location.href).href} by tus 1.0 (${settings.extensions.join(', ')}).`

function dropComplete(): void {
  const files = uppy.getFiles()
  const complete = files.filter(({ progress }) => progress.uploadComplete === true)
  if (complete.length < files.length) uppy.removeFiles(complete.map(({ id }) => id))
}

function reasonOf(status = 0, text = ''): string {
  if (status === 0) return 'the server does not answer, or the network is gone'
  if (status === 401) return 'the server wants a credential, and this page has none (401)'
  return explainAnswer(status, text)
}

/** Says why nothing moves while an upload waits for its next attempt; null = it moves. */
function sayWaiting(reason: string | null): void {
  if (reason !== null) beginSpeed()
  find('#waiting').textContent = reason === null ? '' : `Trying again: ${reason}.`
}

/** Parts need concatenation; they help where one connection does not fill the line. */
function offerParts(): void {
  const label = find('#parallel')
  const box = find<HTMLInputElement>('#parallel input')
  if (!settings.extensions.includes('concatenation')) return
  label.hidden = false
  box.checked = localStorage.getItem('fileloft-parts') === '4'
  const apply = () => uppy.getPlugin('Tus')?.setOptions({ parallelUploads: box.checked ? 4 : 1 })
  box.addEventListener('change', () => {
    localStorage.setItem('fileloft-parts', box.checked ? '4' : '1')
    apply()
  })
  apply()
}
