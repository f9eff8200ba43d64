/** fileloft as a route of SvelteKit: src/routes/files/[...path]/+server.ts. With adapter-node, set BODY_SIZE_LIMIT=Infinity. */
import { createTusHandler } from 'fileloft'
import { fsLocker } from 'fileloft/lockers/fs'
import { fileStore } from 'fileloft/stores/fs'

const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory: './fileloft-data' }),
  // Lets any number of processes serve one directory.
  locker: fsLocker({ directory: './fileloft-data/.locks' }),
  // SvelteKit takes itself for https, unless PROTOCOL_HEADER or `paths.origin` tells better.
  location: { relative: true },
  onFinish: ({ upload }) => console.log(`${upload.id} is complete: ${upload.offset} bytes`),
})

interface Event {
  readonly request: Request
  readonly getClientAddress: () => string
}

/** Clients that write /files/ are not sent to /files. */
export const trailingSlash = 'ignore'

/** Every method. */
export function fallback({ request, getClientAddress }: Event): Promise<Response> {
  // To cancel the body would break the connection before the answer why it is refused.
  const body = request.body?.values({ preventCancel: true })
  return handler(request, { remoteAddress: getClientAddress(), ...(body && { body }) })
}
