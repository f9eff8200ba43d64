/** fileloft as a route of Next.js: app/files/[[...path]]/route.ts */
import { createTusHandler } from 'fileloft'
import { fsLocker } from 'fileloft/lockers/fs'
import { fileStore } from 'fileloft/stores/fs'

const handler = createTusHandler({
  path: '/files',
  store: fileStore({ directory: './fileloft-data' }),
  // Next.js may run a route in several processes.
  locker: fsLocker({ directory: './fileloft-data/.locks' }),
  // A route is not told under which name it was asked for.
  location: { relative: true },
  onFinish: ({ upload }) => console.log(`${upload.id} is complete: ${upload.offset} bytes`),
})

const route = (request: Request): Promise<Response> => handler(request)

export { route as DELETE, route as GET, route as HEAD, route as OPTIONS, route as PATCH, route as POST, route as PUT }
