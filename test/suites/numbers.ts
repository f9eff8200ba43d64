/** Values that are not whole numbers of bytes, whichever header they stand in. */
export const notNumbers = [
  '-1',
  '+1',
  '1.0',
  '1.5',
  '1e3',
  '0x10',
  '1_000',
  '1,000',
  '5 5',
  'NaN',
  'Infinity',
  'abc',
  '',
  '9007199254740992',
  '99999999999999999999',
] as const
