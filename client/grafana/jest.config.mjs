export default {
  testEnvironment: 'jsdom',
  testTimeout: 60000, // of a machine that has other things to do
  testMatch: ['<rootDir>/src/**/*.test.{ts,tsx}'],
  setupFilesAfterEnv: ['<rootDir>/jest.setup.js'],
  resolver: '<rootDir>/jest.resolver.cjs',
  moduleNameMapper: { '\\.(css|scss)$': 'identity-obj-proxy', '^(@monaco-editor/react|monaco-editor)$': '<rootDir>/tests/jsdom/editor.js', '^react-inlinesvg$': '<rootDir>/tests/jsdom/icon.js' },
  transform: {
    '^.+\\.(t|j)sx?$': ['@swc/jest', { sourceMaps: 'inline', jsc: { parser: { syntax: 'typescript', tsx: true }, target: 'es2022', transform: { react: { runtime: 'automatic' } } } }],
  },
  transformIgnorePatterns: ['node_modules/(?!(@wojtekmaj/date-utils|@react-hookz|@ver0|ol|d3-[a-z-]+|internmap|delaunator|robust-predicates|geotiff|uuid|marked|react-calendar|get-user-locale|memoize|mimic-function|pbf|rbush|quickselect|earcut|color-[a-z]+)/)'],
};
