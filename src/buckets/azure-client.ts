import { ContainerClient, type StorageSharedKeyCredential } from '@azure/storage-blob'

/** By shape, `TokenCredential` of `@azure/core-auth`: such as `DefaultAzureCredential` of `@azure/identity`. */
export interface AzureTokenCredential {
  /** Gets a token for the scopes; null = there is none. */
  getToken(scopes: string | string[]): Promise<AzureToken | null>
}

/** Lets its bearer in for a while. */
export interface AzureToken {
  /** Goes into the header. */
  readonly token: string
  /** Milliseconds since the epoch after which it means nothing. */
  readonly expiresOnTimestamp: number
}

export interface AzureConnection {
  /**
   * The container's name, or a client of your own for it (a proxy, another HTTP client), which makes the options below
   * needless. Give that client `retryOptions: { maxTries: 1 }`: failed calls are repeated by the store.
   */
  readonly container: string | ContainerClient
  /** With an account key or a SAS, as the portal shows it. */
  readonly connectionString?: string
  /** The storage account's name, for `https://<account>.blob.core.windows.net`. Needs `credential`. */
  readonly account?: string
  /**
   * The blob service's URL, for other clouds, private endpoints and Azurite; `account` is then not needed. It may have
   * a SAS as its query, which is used then; otherwise it needs `credential`.
   */
  readonly endpoint?: string
  /** For `account` and `endpoint`. A token credential works over https only. */
  readonly credential?: AzureTokenCredential | StorageSharedKeyCredential
}

/** @throws TypeError when the options leave open where the container is, or say it twice. */
export function azureContainer({ container, ...where }: AzureConnection): ContainerClient {
  const { connectionString, account, endpoint, credential } = where
  if (typeof container !== 'string') {
    if (Object.values({ connectionString, account, endpoint, credential }).some((value) => value !== undefined)) {
      throw unusable('a container client needs no connectionString, account, endpoint or credential')
    }
    return container
  }
  if (!/^(?:\$[a-z]+|[a-z0-9](?:-?[a-z0-9]){2,62})$/.test(container)) {
    throw unusable(`${JSON.stringify(container)} is not the name of a container`)
  }
  // The engine repeats what failed: two retries inside each other would multiply.
  const options = { retryOptions: { maxTries: 1 }, userAgentOptions: { userAgentPrefix: 'fileloft' } }
  if (connectionString !== undefined) {
    if ((account ?? endpoint ?? credential) !== undefined) {
      throw unusable('a connection string needs no account, endpoint or credential')
    }
    try {
      return new ContainerClient(connectionString, container, options)
    } catch (error) {
      throw unusable(`the connection string cannot be used: ${error instanceof Error ? error.message : ''}`)
    }
  }
  const url = serviceUrl(where)
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${container}`
  if (url.searchParams.has('sig')) return new ContainerClient(url.href, undefined, options)
  if (credential === undefined) {
    throw unusable('account and endpoint need a credential, such as new DefaultAzureCredential() of @azure/identity')
  }
  if ('getToken' in credential && url.protocol !== 'https:')
    throw unusable('a token credential needs an https endpoint')
  return new ContainerClient(url.href, credential, options)
}

function serviceUrl({ account, endpoint }: { account?: string; endpoint?: string }): URL {
  if (endpoint !== undefined) {
    const url = URL.canParse(endpoint) ? new URL(endpoint) : null
    if (url === null || !/^https?:$/.test(url.protocol)) throw unusable('endpoint must be an http or https URL')
    return url
  }
  if (account === undefined) throw unusable('give a connectionString, an account or an endpoint')
  if (!/^[a-z0-9]{3,24}$/.test(account))
    throw unusable(`${JSON.stringify(account)} is not the name of a storage account`)
  return new URL(`https://${account}.blob.core.windows.net`)
}

function unusable(reason: string): TypeError {
  return new TypeError(`azureStore: ${reason}`)
}
