/** Clients that write /files/ are not sent to /files. */
export default { skipTrailingSlashRedirect: true }
