import { AnnotationQuery, QueryEditorProps } from '@grafana/data';
import type { DataSource } from '../datasource';
import { SluiceOptions, SluiceQuery } from '../types';
import { QueryEditor } from './QueryEditor';

type Props = QueryEditorProps<DataSource, SluiceQuery, SluiceOptions> & {
  annotation?: AnnotationQuery<SluiceQuery>;
  onAnnotationChange?: (annotation: AnnotationQuery<SluiceQuery>) => void;
};

/** Annotations are alerts unless they are told otherwise. */
export function AnnotationEditor({ annotation, onAnnotationChange, ...props }: Props) {
  const query: SluiceQuery = { ...(annotation?.target ?? props.query), refId: 'Anno', queryType: annotation?.target?.queryType ?? props.query?.queryType ?? 'alerts' };
  const onChange = (target: SluiceQuery) => (annotation && onAnnotationChange ? onAnnotationChange({ ...annotation, target }) : props.onChange(target));
  return <QueryEditor {...props} query={query} onChange={onChange} />;
}
