import { DataSourcePlugin } from '@grafana/data';
import { ConfigEditor } from './components/ConfigEditor';
import { Help } from './components/Help';
import { QueryEditor } from './components/QueryEditor';
import { DataSource } from './datasource';
import { SluiceOptions, SluiceQuery, SluiceSecrets } from './types';

export const plugin = new DataSourcePlugin<DataSource, SluiceQuery, SluiceOptions, SluiceSecrets>(DataSource)
  .setConfigEditor(ConfigEditor)
  .setQueryEditor(QueryEditor)
  .setQueryEditorHelp(Help);
