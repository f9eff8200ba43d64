/** Where a bucket is: its endpoint, region and addressing style. */

export interface S3Address {
  /** Scheme, host and path up to the key, ending with a slash. */
  readonly base: string
  readonly region: string
  /** Cloudflare R2, which wants all parts but the last of one size. */
  readonly r2: boolean
  /** Amazon's own service, whose limits are higher. */
  readonly aws: boolean
}

interface Given {
  readonly bucket: string
  readonly endpoint?: string | undefined
  readonly region?: string | undefined
  readonly forcePathStyle?: boolean | undefined
}

/** @throws TypeError when an option is not usable. */
export function s3Address({ bucket, endpoint, region, forcePathStyle }: Given): S3Address {
  if (typeof bucket !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) {
    throw new TypeError(`s3: bucket must be the name of a bucket, not ${JSON.stringify(bucket)}`)
  }
  if (region !== undefined && !/^[A-Za-z0-9_-]+$/.test(region)) {
    throw new TypeError(`s3: region must be a name such as eu-central-1, not ${JSON.stringify(region)}`)
  }
  const place = region ?? regionOf(endpoint) ?? 'us-east-1'
  const url = parseEndpoint(endpoint ?? `https://s3.${place}.amazonaws.com${place.startsWith('cn-') ? '.cn' : ''}`)
  const aws = /\.amazonaws\.com(\.cn)?$/.test(url.hostname)
  const r2 = url.hostname.endsWith('.r2.cloudflarestorage.com')
  const path = url.pathname.replace(/\/+$/, '')
  const named = url.hostname.startsWith(`${bucket}.`)
  const virtual = forcePathStyle === undefined ? named || prefersVirtual(url, bucket) : !forcePathStyle
  const base = virtual
    ? `${url.protocol}//${named ? '' : `${bucket}.`}${url.host}${path}/`
    : // Some consoles show an endpoint that ends with the bucket already.
      `${url.protocol}//${url.host}${path.endsWith(`/${bucket}`) ? path : `${path}/${bucket}`}/`
  return { base, region: place, r2, aws }
}

function parseEndpoint(endpoint: string): URL {
  const url = URL.parse(endpoint)
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new TypeError('s3: endpoint must be an http:// or https:// address without credentials and query')
  }
  return url
}

/** Services that sign for a region which their host names. */
function regionOf(endpoint: string | undefined): string | undefined {
  const host = endpoint === undefined ? '' : (URL.parse(endpoint)?.hostname ?? '')
  if (host.endsWith('.r2.cloudflarestorage.com')) return 'auto'
  return /(?:^|\.)s3(?:-fips)?[.-](?:dualstack\.)?([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|backblazeb2\.com|wasabisys\.com|scw\.cloud)$/.exec(
    host,
  )?.[1]
}

/**
 * Paths work nearly everywhere, and where no wildcard name and certificate were set up they are what works. Amazon
 * prefers names (its certificate has no bucket with dots, though); these others take nothing else.
 */
function prefersVirtual({ hostname }: URL, bucket: string): boolean {
  if (/\.amazonaws\.com(\.cn)?$/.test(hostname)) return !/[.A-Z_]/.test(bucket)
  return /\.(aliyuncs|myqcloud)\.com$/.test(hostname)
}
