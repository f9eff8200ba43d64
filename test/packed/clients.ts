/** A program that uses what needs further packages, type-checked where those are installed. */
import { createTusHandler } from 'fileloft'
import { azureStore } from 'fileloft/stores/azure'
import { gcsStore } from 'fileloft/stores/gcs'
import { createTracedHandler } from 'fileloft/tracing'

export const azure = () =>
  createTusHandler({
    path: '/a',
    store: azureStore({ container: 'c', connectionString: 'UseDevelopmentStorage=true' }),
  })
export const gcs = () => createTracedHandler({ path: '/g', store: gcsStore({ bucket: 'b' }) })
