import { checksumAlgorithms, parseChecksum } from '../body/checksum.ts'
import { fromStream } from '../body/receive.ts'
import { TusError } from '../errors.ts'
import type { Incoming } from '../upload/append.ts'
import type { Call } from './answer.ts'
import { parseSize } from './headers.ts'

/** The body of a PATCH, or of a POST that creates with upload. */
export function incomingBody(call: Call, offset: number, length: number | null): Incoming {
  const { request, platform, caller } = call
  return {
    caller,
    offset,
    length,
    body: platform?.body ?? fromStream(request.body),
    freeChunk: platform?.freeChunk,
    contentLength: parseSize(request.headers, 'Content-Length'),
    checksum: expectedChecksum(call),
  }
}

/** From `Upload-Checksum`, or from the trailer of that name where one is announced. */
function expectedChecksum({ context, request, platform }: Call): Incoming['checksum'] {
  const value = request.headers.get('upload-checksum')
  const announced = /(^|,)\s*upload-checksum\s*(,|$)/i.test(request.headers.get('trailer') ?? '')
  if (value === null && !announced) return null
  if (!context.extensions.has('checksum')) {
    throw new TusError('extension_off', 'Upload-Checksum is not supported here')
  }
  if (value !== null) {
    const checksum = parseChecksum(value)
    return { algorithms: [checksum.algorithm], expected: () => checksum }
  }
  const { trailers } = platform ?? {}
  if (trailers === undefined || !context.extensions.has('checksum-trailer')) {
    throw new TusError('extension_off', 'Upload-Checksum as a trailer is not supported here; send it as a header')
  }
  return {
    algorithms: checksumAlgorithms(),
    expected() {
      const trailer = trailers().get('upload-checksum')
      if (trailer === null) throw new TusError('invalid_header', 'The announced trailer Upload-Checksum is missing')
      return parseChecksum(trailer)
    },
  }
}
