/**
 * The page that the browser runs, bundled by `page.ts`. The address says what it does: `endpoint`, `parallel`.
 * The outcome appears as `data-outcome` on the body.
 */
import Uppy from '@uppy/core'
import Dashboard from '@uppy/dashboard'
import Tus from '@uppy/tus'

const parameters = new URLSearchParams(location.search)
const uppy = new Uppy({ debug: false, autoProceed: false })
uppy.use(Dashboard, { inline: true, target: '#dashboard', width: 750, height: 500 })
uppy.use(Tus, {
  endpoint: parameters.get('endpoint') ?? '',
  parallelUploads: Number(parameters.get('parallel') ?? 1),
  withCredentials: parameters.has('credentials'),
  retryDelays: parameters.has('impatient') ? [] : [100, 500, 1000, 3000],
})
uppy.on('complete', ({ successful = [], failed = [] }) => {
  document.body.dataset['outcome'] = JSON.stringify({
    uploaded: successful.map(({ uploadURL }) => uploadURL),
    failed: failed.map(({ error }) => error),
  })
})
