/** @tus/server on @tus/azure-store, which is given a client because of the emulator's address. */
import { ContainerClient } from '@azure/storage-blob'
import { AzureStore } from '@tus/azure-store'
import { serveTus } from './serve-tus.ts'

const { AZURE_STORAGE_CONNECTION_STRING = '', AZURE_CONTAINER = '' } = process.env

serveTus(new AzureStore({ client: new ContainerClient(AZURE_STORAGE_CONNECTION_STRING, AZURE_CONTAINER) }))
