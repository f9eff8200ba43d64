/**
 * Decides on uploads and hears of them. As `receiver.mts`, run it, then a server that tells it:
 * `node receiver.mts`, `FILELOFT_HOOKS_URL=http://localhost:3000/hooks npx fileloft`
 */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { Webhook } from 'standardwebhooks'

interface Hook {
  readonly Type: string
  /** The same each time that an event is sent. */
  readonly EventID: string
  readonly Event: {
    readonly Upload: { ID: string; Size: number; MetaData: Record<string, string>; IsPartial: boolean }
  }
}

// The server's FILELOFT_HOOKS_SECRET: without it, anybody who finds this address can tell it stories.
const secret = process.env['HOOKS_SECRET']
const seen = new Set<string>() // In a real application: a unique column of the database.

const app = new Hono()
app.post('/hooks', async (c) => {
  const body = await c.req.text()
  try {
    if (secret !== undefined) new Webhook(secret).verify(body, c.req.header())
  } catch {
    return c.text('not from the upload server\n', 401)
  }
  const { Type, EventID, Event } = JSON.parse(body) as Hook
  const { ID, Size, MetaData, IsPartial } = Event.Upload

  // Clients send the metadata of a parallel upload with the final one, not with its pieces.
  if (Type === 'pre-create' && !IsPartial && (MetaData['filename'] ?? '') === '') {
    return c.json({ RejectUpload: true, HTTPResponse: { StatusCode: 422, Body: 'Send a filename\n' } })
  }
  if (Type === 'post-finish' && !IsPartial && !seen.has(EventID)) {
    console.log(`${ID} is complete: ${MetaData['filename']}, ${Size} bytes`)
    seen.add(EventID) // Only now: what fails above is sent again.
  }
  return c.json({})
})

serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' }, (address) =>
  console.log('listening on', address),
)
