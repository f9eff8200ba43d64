/** fileloft in an Express app. As `server.mts`: `node server.mts`, then upload to http://127.0.0.1:8080/files */
import express from 'express'
import { createTusHandler } from 'fileloft'
import { toNodeListener } from 'fileloft/node'
import { fileStore } from 'fileloft/stores/fs'

const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory: './fileloft-data' }),
  onFinish: ({ upload }) => console.log(`${upload.id} is complete: ${upload.offset} bytes`),
})

const app = express()
// Before any body parser: what that has read is gone.
app.use('/files', toNodeListener(handler))
app.use(express.json())
app.get('/', (_, response) => void response.send('Upload to /files\n'))

const server = app.listen(Number(process.env['PORT'] ?? 8080), '127.0.0.1', () =>
  console.log('listening on', server.address()),
)
// Node would end every request after five minutes; uploads take longer.
server.requestTimeout = 0
