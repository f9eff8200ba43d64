/** fileloft in a Hono app. As `server.mts`: `node server.mts`, then upload to http://127.0.0.1:8080/files */
import { serve } from '@hono/node-server'
import { createTusHandler, TusError } from 'fileloft'
import { tus } from 'fileloft/hono'
import { fileStore } from 'fileloft/stores/fs'
import { Hono } from 'hono'

const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory: './fileloft-data' }),
  onCreate({ upload }) {
    if (upload.metadata === null) throw new TusError('rejected', 'Send a filename in Upload-Metadata', { status: 422 })
  },
  onFinish: ({ upload }) => console.log(`${upload.id} is complete: ${upload.offset} bytes`),
})

const app = new Hono()
app.get('/', (c) => c.text('Upload to /files\n'))
app.all('/files/*', tus(handler))

const server = serve(
  { fetch: app.fetch, port: Number(process.env['PORT'] ?? 8080), hostname: '127.0.0.1' },
  (address) => console.log('listening on', address),
)
// Node would end every request after five minutes; uploads take longer.
if ('requestTimeout' in server) server.requestTimeout = 0
